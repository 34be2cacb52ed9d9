// Samples of one position where channels lie one after the other: U (N, C, H, W), V (N, C, P).
#pragma once

#include "element.cuh"
#include "share.cuh"
#include "stencil.cuh"

namespace stn_deploy {
namespace tuned {

template <int axes, Interpolation interpolation, class Type>
class Planar {
    using Rows = Stencil<axes, interpolation>;
    using Stored = typename Type::Stored;
    static constexpr int kTaps = Rows::kTaps, kRows = Rows::kRows;
    static constexpr int kTogether = kTaps * kRows <= 4 ? 3 : 1;  // channels whose pixels are read at once

  public:
    STN_DEVICE Planar(const void* source, void* output, const Arguments<axes>& a, const Share& share)
        : a_(a),
          inside_(share.inside),
          channels_(share.end_channel - share.first_channel),
          plane_(a.plane()) {
        const int64_t before = share.first_image * a.c + share.first_channel;
        source_ = static_cast<const Stored*>(source) + before * plane_;
        output_ = static_cast<Stored*>(output) + before * a.points + share.point;
    }

    // All channels of this block, in the image at hand.
    STN_DEVICE void sample(const Place<axes>& place) const {
        Rows stencil;
        const bool any = stencil.find(place.coordinates, place.axis, a_);
        int64_t before[kRows];
        stencil.find_rows(before, a_);
        const Stored* row[kRows];
        STN_UNROLL for (int i = 0; i < kRows; ++i)
            row[i] = source_ + before[i];
        Stored* written = output_;
        int32_t left = channels_;
        if constexpr (kTogether > 1) {
            STN_ROLLED while (left >= kTogether) {
                channels<kTogether>(row, written, any, stencil);
                left -= kTogether;
                if (left == 0) return;
                advance<kTogether>(row, written);
            }
        }
        STN_ROLLED while (true) {
            channels<1>(row, written, any, stencil);
            if (--left == 0) return;
            advance<1>(row, written);
        }
    }

    // To the next image of this block.
    STN_DEVICE void step(const Steps& steps) {
        source_ += steps.source;
        output_ += steps.output;
    }

  private:
    // Reads all pixels of some channels, then weighs them: many reads are on their way at once.
    template <int count>
    STN_DEVICE void channels(const Stored* const (&row)[kRows], Stored* written, bool any,
                             const Rows& stencil) const {
        float sums[count] = {};
        if (any) {
            Stored pixels[count][kRows][kTaps];
            STN_UNROLL for (int channel = 0; channel < count; ++channel) {
                STN_UNROLL for (int i = 0; i < kRows; ++i)
                    stencil.read_row(pixels[channel][i], row[i] + channel * plane_, 1);
            }
            STN_UNROLL for (int channel = 0; channel < count; ++channel) {
                STN_UNROLL for (int i = 0; i < kRows; ++i) {
                    float sum = stencil.along[0].weight(0) * Type::widened(pixels[channel][i][0]);
                    STN_UNROLL for (int tap = 1; tap < kTaps; ++tap) {
                        sum = fmaf(stencil.along[0].weight(tap), Type::widened(pixels[channel][i][tap]), sum);
                    }
                    sums[channel] =
                        i == 0 ? stencil.weight(i) * sum : fmaf(stencil.weight(i), sum, sums[channel]);
                }
            }
        }
        if (!inside_) return;
        STN_UNROLL for (int channel = 0; channel < count; ++channel) {
            written[channel * int64_t{a_.points}] = Type::rounded(sums[channel]);
        }
    }

    template <int count>
    STN_DEVICE void advance(const Stored* (&row)[kRows], Stored*& written) const {
        STN_UNROLL for (int i = 0; i < kRows; ++i)
            row[i] += count * plane_;
        written += count * int64_t{a_.points};
    }

    const Arguments<axes>& a_;
    bool inside_;
    int32_t channels_;
    int64_t plane_;         // pixels
    const Stored* source_;  // first channel of this block
    Stored* output_;        // likewise, at the position of this thread
};

}  // namespace tuned
}  // namespace stn_deploy
