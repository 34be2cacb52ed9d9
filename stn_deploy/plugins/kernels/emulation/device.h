// The part of CUDA that the kernels use, for a host compiler: what a thread of a kernel sees while it is
// emulated.
//
// Threads of a block are fibers and run one at a time (fibers.cpp), so that an atomic operation is a plain
// one, and shared memory is a static variable. A barrier hands over to the other fibers until all have come
// to it.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <utility>

#define __global__
#define __device__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __shared__ static
#define STN_SHARED(type, name) \
    __shared__ type name;      \
    ::emulation::spoil(&name, sizeof(name))
#define STN_REGISTER(name) static const ::emulation::Registered registered_##name(#name, name);

namespace emulation {

struct Triple {
    unsigned x = 0, y = 0, z = 0;
};
extern Triple thread_index, block_index, block_size, grid_size;

// Waits for the fibers of this block (of this warp), and says where they met: fibers that wait at different
// places would hang a GPU, and end the emulation with an error.
void meet(bool warp_only, const char* place);
// Fills shared memory with NaN for each new block: what a kernel has not written it must not read.
void spoil(void* shared, size_t bytes);
// What the 32 fibers of this warp handed in, once all have.
const uint64_t* exchange(uint64_t mine, const char* place);

// Notes a read of so many bytes at an address that is no multiple of them: a GPU refuses it, the host does not.
void misaligned(size_t bytes);

float float_of_half(uint16_t half);
uint16_t half_of_float(float value);

// A kernel by name, callable with the pointers to its arguments that cuLaunchKernel takes.
struct Registered {
    template <class... Arguments>
    Registered(const char* name, void (*kernel)(Arguments...))
        : name(name),
          next(first),
          function(reinterpret_cast<void (*)()>(kernel)),
          call(&unpack<Arguments...>) {
        first = this;
    }
    template <class... Arguments>
    static void unpack(void (*function)(), void** arguments) {
        apply(reinterpret_cast<void (*)(Arguments...)>(function), arguments,
              std::index_sequence_for<Arguments...>{});
    }
    template <class... Arguments, size_t... places>
    static void apply(void (*kernel)(Arguments...), void** arguments, std::index_sequence<places...>) {
        kernel(*static_cast<Arguments*>(arguments[places])...);
    }
    const char* name;
    const Registered* next;
    void (*function)();
    void (*call)(void (*)(), void**);
    static const Registered* first;
};

}  // namespace emulation

#define threadIdx ::emulation::thread_index
#define blockIdx ::emulation::block_index
#define blockDim ::emulation::block_size
#define gridDim ::emulation::grid_size

#define STN_PLACE_(line) __FILE__ ":" #line
#define STN_PLACE(line) STN_PLACE_(line)
#define __syncthreads() ::emulation::meet(false, STN_PLACE(__LINE__))
#define __syncwarp() ::emulation::meet(true, STN_PLACE(__LINE__))
#define __shfl_sync(mask, value, lane) ::emulation::shuffle(value, lane, STN_PLACE(__LINE__))
#define __shfl_xor_sync(mask, value, bits) \
    ::emulation::shuffle(value, static_cast<int>(threadIdx.x % 32) ^ (bits), STN_PLACE(__LINE__))

struct alignas(8) float2 {
    float x, y;
};
struct alignas(16) float4 {
    float x, y, z, w;
};
struct alignas(16) uint4 {
    uint32_t x, y, z, w;
};

namespace emulation {

template <class T>
T shuffle(T value, int lane, const char* place) {
    uint64_t bits = 0;
    std::memcpy(&bits, &value, sizeof(T));
    std::memcpy(&value, &exchange(bits, place)[lane], sizeof(T));
    return value;
}

}  // namespace emulation

inline uint32_t __float_as_uint(float value) {
    uint32_t bits;
    std::memcpy(&bits, &value, 4);
    return bits;
}

inline float __uint_as_float(uint32_t bits) {
    float value;
    std::memcpy(&value, &bits, 4);
    return value;
}

template <class T>
T __ldg(const T* address) {
    if (reinterpret_cast<uintptr_t>(address) % sizeof(T)) ::emulation::misaligned(sizeof(T));
    T value;
    std::memcpy(&value, address, sizeof(T));
    return value;
}

inline float atomicAdd(float* address, float value) {
    const float before = *address;
    *address = before + value;
    return before;
}

using std::fabs;
using std::floor;
