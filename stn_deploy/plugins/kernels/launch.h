// What the host knows of the kernels: their settings, their arguments, and how many blocks they are launched
// with.
//
// Includes neither CUDA nor TensorRT, so that every host compiler reads it. The constants and `blocks_for`
// have a twin in Python: stn_deploy/plugins/launch/plan.py.
#pragma once

#ifndef __CUDACC_RTC__
#include <cstdint>
#else
using int32_t = int;
using int64_t = long long;
using uint16_t = unsigned short;
using uint32_t = unsigned int;
using uint64_t = unsigned long long;
#endif

namespace stn_deploy {

enum class Interpolation : int32_t { nearest = 0, linear = 1, cubic = 2 };
enum class Padding : int32_t { border = 0, zeros = 1, reflection = 2 };
enum class Element : int32_t { float32 = 0, float16 = 1, bfloat16 = 2 };

// Which kernel, and the integers that it takes as they are.
struct Sampling {
    int32_t dimensions = 2;  // 2: images, 3: volumes
    Interpolation interpolation = Interpolation::linear;
    Padding padding = Padding::border;
    bool align_corners = false;
    bool homogeneous = false;
    Element element = Element::float32;
    bool channels_last = false;  // (N, H, W, C) and (N, h, w, C); C a multiple of what fits into 16 bytes
};

// Lengths of U (N, C, D, H, W), with D = 1 for images, of theta (N, K, .), and P, the positions of V.
struct Lengths {
    int32_t n = 0, c = 0, depth = 1, height = 0, width = 0;
    int32_t k = 0;  // 0 where the grid is given
    int32_t points = 0;
};

constexpr int32_t kThreads = 128;          // of a block
constexpr int32_t kPointsPerBlock = 128;   // positions of V that a block samples, for each of its images
constexpr int32_t kChannelsPerBlock = 32;  // channels that a block samples
constexpr int32_t kBlocksWanted = 4096;    // enough to fill a GPU; more images than that share blocks

#ifndef __CUDACC_RTC__
// Blocks of one dimension: tiles of positions, fastest, x groups of channels x groups of images, each block
// stepping through the images of its group. At least 1, so that an empty launch is a valid one.
constexpr int64_t blocks_for(const Lengths& lengths) {
    const int64_t tiles = (int64_t{lengths.points} + kPointsPerBlock - 1) / kPointsPerBlock;
    const int64_t channels = (int64_t{lengths.c} + kChannelsPerBlock - 1) / kChannelsPerBlock;
    const int64_t each = tiles * channels > 1 ? tiles * channels : 1;
    const int64_t shared = kBlocksWanted / each > 1 ? kBlocksWanted / each : 1;
    const int64_t groups = lengths.n < shared ? lengths.n : shared;
    return each * (groups > 1 ? groups : 1);
}
#endif

}  // namespace stn_deploy
