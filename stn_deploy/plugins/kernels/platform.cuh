// What nvcc, NVRTC and the host compile of emulation/ each do in their own way. Everything else is common
// source.
#pragma once

#include "launch.h"

#ifdef STN_EMULATION
#include "emulation/device.h"
#define STN_DEVICE inline
#define STN_RESTRICT __restrict__
#define STN_UNROLL
#define STN_UNROLL_8
#define STN_ROLLED
#else
#define STN_DEVICE __device__ __forceinline__
#define STN_RESTRICT __restrict__
#define STN_UNROLL _Pragma("unroll")
#define STN_UNROLL_8 _Pragma("unroll 8")
#define STN_ROLLED _Pragma("unroll 1")
#define STN_REGISTER(name)
#define STN_SHARED(type, name) __shared__ type name
#endif

namespace stn_deploy {

// Twin: stn_deploy.geometry.sampling.FAR. Normalised positions are clamped to it.
constexpr float kFar = 1e6f;

template <class T>
STN_DEVICE constexpr T smaller(T a, T b) {
    return b < a ? b : a;
}

template <class T>
STN_DEVICE constexpr T larger(T a, T b) {
    return a < b ? b : a;
}

template <class T>
STN_DEVICE constexpr T ceil_div(T a, T b) {
    return (a + b - 1) / b;
}

}  // namespace stn_deploy
