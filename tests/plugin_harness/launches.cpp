// The launch of launch_cuda.h for those who have no C++: numbers and addresses in, a code of CUDA's out.

#include "launch_cuda.h"

// numbers: dimensions, interpolation, padding, align_corners, homogeneous, element, channels_last, n, c,
// depth, height, width, k, points. addresses: inputs, then the output; a grid in place of basis, theta and
// extents where `given`.
extern "C" int stn_launch(int given, int const* numbers, void const* const* addresses) {
    using namespace stn_deploy;
    Sampling const sampling{numbers[0],      Interpolation{numbers[1]}, Padding{numbers[2]}, numbers[3] != 0,
                            numbers[4] != 0, Element{numbers[5]},       numbers[6] != 0};
    Lengths const lengths{numbers[7],  numbers[8],  numbers[9], numbers[10],
                          numbers[11], numbers[12], numbers[13]};
    auto const floats = [&](int index) { return static_cast<float const*>(addresses[index]); };
    void* const output = const_cast<void*>(addresses[given != 0 ? 2 : 4]);
    return given != 0 ? launch_grid_sample(sampling, lengths, addresses[0], floats(1), output, nullptr)
                      : launch_theta_grid_sample(sampling, lengths, addresses[0], floats(1), floats(2),
                                                 floats(3), output, nullptr);
}
