// Which kernel, with how many blocks, and whether what is asked for can be done at all. See launch_cuda.h.
#include "launch_cuda.h"

#include "kernels.cuh"

STN_THETA_GRID_SAMPLE(2, nearest)
STN_THETA_GRID_SAMPLE(2, linear)
STN_THETA_GRID_SAMPLE(2, cubic)
STN_THETA_GRID_SAMPLE(3, nearest)
STN_THETA_GRID_SAMPLE(3, linear)
STN_GRID_SAMPLE(2, nearest)
STN_GRID_SAMPLE(2, linear)
STN_GRID_SAMPLE(2, cubic)
STN_GRID_SAMPLE(3, nearest)
STN_GRID_SAMPLE(3, linear)

namespace stn_deploy {
namespace {

using Kernel = const void*;

// The kernels of one operation, dimension and interpolation, in the order of `Element`, then channels last.
#define STN_ROW(name)                                     \
    {reinterpret_cast<Kernel>(&name##_f32),               \
     reinterpret_cast<Kernel>(&name##_f16),               \
     reinterpret_cast<Kernel>(&name##_bf16),              \
     reinterpret_cast<Kernel>(&name##_f32_channels_last), \
     reinterpret_cast<Kernel>(&name##_f16_channels_last), \
     reinterpret_cast<Kernel>(&name##_bf16_channels_last)}
#define STN_TABLE(op)                                                              \
    {                                                                              \
        STN_ROW(op##_2d_nearest), STN_ROW(op##_2d_linear), STN_ROW(op##_2d_cubic), \
        STN_ROW(op##_3d_nearest), STN_ROW(op##_3d_linear),                         \
    }
const Kernel kThetaKernels[5][6] = STN_TABLE(theta_grid_sample);
const Kernel kGridKernels[5][6] = STN_TABLE(grid_sample);

template <class T>
bool within(T value, int32_t first, int32_t last) {
    return static_cast<int32_t>(value) >= first && static_cast<int32_t>(value) <= last;
}

bool is_valid(const Sampling& s, const Lengths& l, bool fused) {
    const bool volumes = s.dimensions == 3;
    const int32_t vector = s.element == Element::float32 ? 4 : 8;  // what fits into 16 bytes
    return within(s.dimensions, 2, 3) && within(s.interpolation, 0, volumes ? 1 : 2) &&
           within(s.padding, 0, 2) && within(s.element, 0, 2) && l.n >= 0 && l.c >= 0 && l.points >= 0 &&
           l.depth >= 1 && l.height >= 1 && l.width >= 1 && (volumes || l.depth == 1) &&
           (!fused || l.k >= 1) && (!s.channels_last || l.c % vector == 0);
}

// Channels last is read and written 16 bytes at once. An address that is no multiple of them would not fail
// the launch but end the process's use of the GPU.
bool are_aligned(const Sampling& s, const void* source, const void* output) {
    const auto both = reinterpret_cast<uintptr_t>(source) | reinterpret_cast<uintptr_t>(output);
    return !s.channels_last || both % 16 == 0;
}

bool is_empty(const Lengths& l) { return l.n == 0 || l.c == 0 || l.points == 0; }

cudaError_t launch(const Kernel (&kernels)[5][6], const Sampling& s, const Lengths& l, void** arguments,
                   cudaStream_t stream) {
    const int64_t blocks = blocks_for(l);
    if (blocks > INT32_MAX) return cudaErrorInvalidConfiguration;
    const int32_t row = static_cast<int32_t>(s.interpolation) + (s.dimensions == 3 ? 3 : 0);
    const int32_t column = static_cast<int32_t>(s.element) + (s.channels_last ? 3 : 0);
    return cudaLaunchKernel(kernels[row][column], dim3(static_cast<unsigned>(blocks)), dim3(kThreads),
                            arguments, 0, stream);
}

}  // namespace

cudaError_t launch_theta_grid_sample(const Sampling& sampling, const Lengths& lengths, const void* source,
                                     const float* basis, const float* theta, const float* extents,
                                     void* output, cudaStream_t stream) {
    if (!is_valid(sampling, lengths, true)) return cudaErrorInvalidValue;
    if (is_empty(lengths)) return cudaSuccess;
    if (!source || !basis || !theta || !output) return cudaErrorInvalidValue;
    if (!are_aligned(sampling, source, output)) return cudaErrorInvalidValue;
    Lengths l = lengths;
    int32_t padding = static_cast<int32_t>(sampling.padding), align_corners = sampling.align_corners;
    int32_t homogeneous = sampling.homogeneous;
    void* arguments[] = {&source,   &basis,   &theta,         &extents,     &l.n,
                         &l.c,      &l.depth, &l.height,      &l.width,     &l.k,
                         &l.points, &padding, &align_corners, &homogeneous, &output};
    return launch(kThetaKernels, sampling, l, arguments, stream);
}

cudaError_t launch_grid_sample(const Sampling& sampling, const Lengths& lengths, const void* source,
                               const float* grid, void* output, cudaStream_t stream) {
    if (!is_valid(sampling, lengths, false)) return cudaErrorInvalidValue;
    if (is_empty(lengths)) return cudaSuccess;
    if (!source || !grid || !output) return cudaErrorInvalidValue;
    if (!are_aligned(sampling, source, output)) return cudaErrorInvalidValue;
    Lengths l = lengths;
    int32_t padding = static_cast<int32_t>(sampling.padding), align_corners = sampling.align_corners;
    void* arguments[] = {&source,  &grid,     &l.n,     &l.c,           &l.depth, &l.height,
                         &l.width, &l.points, &padding, &align_corners, &output};
    return launch(kGridKernels, sampling, l, arguments, stream);
}

}  // namespace stn_deploy
