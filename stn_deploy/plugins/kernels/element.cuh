// The types that U and V may have: how each is kept in memory, and its way to float32 and back.
//
// Neither cuda_fp16.h nor cuda_bf16.h: they want headers that the smallest toolkits lack, and bfloat16 has to
// run on sm_75, which knows it not.
#pragma once

#include "platform.cuh"

namespace stn_deploy {

struct Float32 {
    using Stored = float;
    static STN_DEVICE float widened(Stored value) { return value; }
    static STN_DEVICE Stored rounded(float value) { return value; }
};

struct Float16 {
    using Stored = uint16_t;
    static STN_DEVICE float widened(Stored value) {
#ifdef STN_EMULATION
        return emulation::float_of_half(value);
#else
        float wide;
        asm("cvt.f32.f16 %0, %1;" : "=f"(wide) : "h"(value));
        return wide;
#endif
    }
    static STN_DEVICE Stored rounded(float value) {
#ifdef STN_EMULATION
        return emulation::half_of_float(value);
#else
        Stored half;
        asm("cvt.rn.f16.f32 %0, %1;" : "=h"(half) : "f"(value));
        return half;
#endif
    }
};

struct BFloat16 {
    using Stored = uint16_t;
    static STN_DEVICE float widened(Stored value) { return __uint_as_float(uint32_t{value} << 16); }
    // The upper half of a float32, rounded to nearest, ties to even.
    static STN_DEVICE Stored rounded(float value) {
        const uint32_t bits = __float_as_uint(value);
        const uint32_t nearest = bits + 0x7fffu + ((bits >> 16) & 1u);
        return static_cast<Stored>((value != value ? 0x7fff0000u : nearest) >> 16);
    }
};

}  // namespace stn_deploy
