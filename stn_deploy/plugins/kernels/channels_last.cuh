// Samples where the channels of a pixel lie next to each other: U (N, H, W, C), V (N, P, C), both at
// multiples of 16 bytes. A thread reads 16 bytes of a pixel at once, so the threads of a warp share out the
// channels of its 32 positions anew: neighbours read what is next to each other.
#pragma once

#include "element.cuh"
#include "share.cuh"
#include "stencil.cuh"

namespace stn_deploy {
namespace tuned {

// 16 bytes of one type.
template <class Type>
struct Vector {
    static constexpr int kSize = 16 / sizeof(typename Type::Stored);
    static constexpr int kEach = 4 / sizeof(typename Type::Stored);  // of a word

    STN_DEVICE static float element(const uint32_t (&words)[4], int i) {
        if constexpr (kEach == 1)
            return __uint_as_float(words[i]);
        else
            return Type::widened(static_cast<uint16_t>(words[i / 2] >> (i % 2 * 16)));
    }

    STN_DEVICE static uint32_t word(const float* values) {
        if constexpr (kEach == 1)
            return __float_as_uint(values[0]);
        else
            return uint32_t{Type::rounded(values[0])} | uint32_t{Type::rounded(values[1])} << 16;
    }
};

template <int axes, Interpolation interpolation, class Type>
class ChannelsLast {
    using Rows = Stencil<axes, interpolation>;
    static constexpr int kTaps = Rows::kTaps, kRows = Rows::kRows, kWarp = 32;
    static constexpr int kSize = Vector<Type>::kSize, kEach = Vector<Type>::kEach;

  public:
    STN_DEVICE ChannelsLast(const void* source, void* output, const Arguments<axes>& a, const Share& share)
        : a_(a),
          vectors_((share.end_channel - share.first_channel) / kSize),
          all_(a.c / kSize),
          first_(share.tile + static_cast<int32_t>(threadIdx.x / kWarp * kWarp)) {
        const int64_t channel = share.first_channel / kSize;
        source_ = static_cast<const uint4*>(source) + share.first_image * a.plane() * all_ + channel;
        output_ = static_cast<uint4*>(output) + (share.first_image * a.points + first_) * all_ + channel;
    }

    STN_DEVICE void sample(const Place<axes>& place) const {
        const int lane = static_cast<int>(threadIdx.x % kWarp);
        int position = lane / vectors_, vector = lane % vectors_;
        STN_ROLLED for (int round = 0; round < vectors_; ++round) {
            float coordinates[axes];
            STN_UNROLL for (int i = 0; i < axes; ++i)
                coordinates[i] = __shfl_sync(0xffffffffu, place.coordinates[i], position);
            Rows stencil;
            const bool any = stencil.find(coordinates, place.axis, a_);
            if (first_ + position < a_.points) {
                output_[int64_t{position} * all_ + vector] = one(any, stencil, source_ + vector);
            }
            vector += kWarp % vectors_;
            position += kWarp / vectors_;
            if (vector >= vectors_) {
                vector -= vectors_;
                ++position;
            }
        }
    }

    STN_DEVICE void step(const Steps& steps) {
        source_ += steps.source / kSize;
        output_ += steps.output / kSize;
    }

  private:
    // One vector of a sample.
    STN_DEVICE uint4 one(bool any, const Rows& stencil, const uint4* source) const {
        float sums[kSize] = {};
        if (any) {
            int64_t before[kRows];
            stencil.find_rows(before, a_);
            STN_UNROLL for (int row = 0; row < kRows; ++row) {
                uint4 pixels[kTaps];
                stencil.read_row(pixels, source + before[row] * all_, all_);
                STN_UNROLL for (int tap = 0; tap < kTaps; ++tap) {
                    const uint32_t words[4] = {pixels[tap].x, pixels[tap].y, pixels[tap].z, pixels[tap].w};
                    const float weight = stencil.weight(row) * stencil.along[0].weight(tap);
                    STN_UNROLL for (int i = 0; i < kSize; ++i) {
                        sums[i] = fmaf(weight, Vector<Type>::element(words, i), sums[i]);
                    }
                }
            }
        }
        return {Vector<Type>::word(sums), Vector<Type>::word(sums + kEach),
                Vector<Type>::word(sums + 2 * kEach), Vector<Type>::word(sums + 3 * kEach)};
    }

    const Arguments<axes>& a_;
    int32_t vectors_, all_;  // of a pixel: those of this block, and all
    int32_t first_;          // position of this warp
    const uint4* source_;    // first vector of this block, of the image at hand
    uint4* output_;          // likewise, at the first position
};

}  // namespace tuned
}  // namespace stn_deploy
