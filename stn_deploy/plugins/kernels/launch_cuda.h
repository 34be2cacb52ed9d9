// Launches the kernels from C++, on a stream; every pointer is of the device. Needs launch.cu, and the CUDA
// runtime.
//
// Returns at once: cudaErrorInvalidValue for settings, lengths or addresses that no kernel takes (channels last
// wants source and output at multiples of 16 bytes), else what the launch says. Nothing to do (no images, no
// channels, no positions) is a success.
#pragma once

#include <cuda_runtime_api.h>

#include "launch.h"

namespace stn_deploy {

// V (N, C, P) of U at basis (P, K) @ theta (N, K, dimensions, + 1 if homogeneous), on the part of the canvas
// that extents (N, dimensions) says is filled; null: all of it. U and V in the type and layout of `sampling`,
// the others float32.
cudaError_t launch_theta_grid_sample(const Sampling& sampling, const Lengths& lengths, const void* source,
                                     const float* basis, const float* theta, const float* extents,
                                     void* output, cudaStream_t stream);

// V (N, C, P) of U at the positions of a grid (N, P, dimensions), float32.
cudaError_t launch_grid_sample(const Sampling& sampling, const Lengths& lengths, const void* source,
                               const float* grid, void* output, cudaStream_t stream);

}  // namespace stn_deploy
