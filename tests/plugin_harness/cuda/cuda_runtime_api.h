// The part of the CUDA runtime that the plugin, the launch of its kernels and TensorRT's headers name. What it does
// is done on the host, by emulated_runtime.cpp.
#pragma once

#include <cstddef>

#define CUDART_VERSION 13000

struct CUstream_st;
struct CUevent_st;
using cudaStream_t = CUstream_st*;
using cudaEvent_t = CUevent_st*;

enum cudaError_t {
    cudaSuccess = 0,
    cudaErrorInvalidValue = 1,
    cudaErrorInvalidConfiguration = 9,
    cudaErrorNoKernelImageForDevice = 209,
    cudaErrorLaunchFailure = 719,
};

struct dim3 {
    explicit dim3(unsigned x_) : x(x_) {}
    unsigned x, y = 1, z = 1;
};

cudaError_t cudaLaunchKernel(void const* kernel, dim3 grid, dim3 block, void** arguments, size_t shared_bytes,
                             cudaStream_t stream);
char const* cudaGetErrorName(cudaError_t error);
char const* cudaGetErrorString(cudaError_t error);
