// Memory that the kernels and we can reach, each tensor in a block of exactly its size: on the host, where
// the sanitizer sees a byte too far; or, with STN_ON_GPU, memory that host and GPU share.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdlib>
#include <memory>
#include <new>
#include <stdexcept>

namespace harness {

#ifdef STN_ON_GPU

inline void expect(cudaError_t error) {
    if (error != cudaSuccess) throw std::runtime_error(cudaGetErrorString(error));
}

inline void* allocated(size_t size) {
    void* memory = nullptr;
    expect(cudaMallocManaged(&memory, size > 0 ? size : 1));
    return memory;
}

inline void finish() { expect(cudaDeviceSynchronize()); }

struct Free {
    void operator()(void* memory) const { cudaFree(memory); }
};

#else

inline void* allocated(size_t size) {
    void* memory = nullptr;
    if (posix_memalign(&memory, 256, size) != 0) throw std::bad_alloc();
    return memory;
}

inline void finish() {}

struct Free {
    void operator()(void* memory) const { std::free(memory); }
};

#endif

using Block = std::unique_ptr<void, Free>;

}  // namespace harness
