// The pixels that one sample reads, along all axes: rows of them, each row along x.
#pragma once

#include "taps.cuh"

namespace stn_deploy {
namespace tuned {

template <int axes, Interpolation interpolation>
struct Stencil {
    static constexpr int kTaps = taps_of(interpolation);
    static constexpr int kRows = axes == 2 ? kTaps : kTaps * kTaps;
    Taps<interpolation> along[axes];

    // False where it reads nothing: the sample is 0.
    STN_DEVICE bool find(const float (&coordinates)[axes], const Axis (&axis)[axes],
                         const Arguments<axes>& a) {
        bool any = true;
        STN_UNROLL for (int i = 0; i < axes; ++i) {
            find_taps(along[i], axis[i], coordinates[i], a.padding, a.align_corners);
            any = any && is_finite(coordinates[i]) && along[i].any;
        }
        return any;
    }

    // Which tap along y, or along z, a row stands for.
    STN_DEVICE static constexpr int tap_along(int axis, int row) {
        return axis == 1 ? row % kTaps : row / kTaps;
    }

    // Pixels of the canvas before the first tap of each row.
    STN_DEVICE void find_rows(int64_t (&row)[kRows], const Arguments<axes>& a) const {
        row[0] = along[axes - 1].pixel(0);
        if constexpr (axes == 3) row[0] = row[0] * a.size[1] + along[1].pixel(0);
        row[0] = row[0] * a.size[0] + along[0].pixel(0);
        STN_UNROLL for (int i = 1; i < kRows; ++i) {
            const int32_t down = along[1].pixel(tap_along(1, i)) - along[1].pixel(0);
            row[i] = row[0] + int64_t{down} * a.size[0];
            if constexpr (axes == 3) {
                const int32_t deep = along[2].pixel(tap_along(2, i)) - along[2].pixel(0);
                row[i] += int64_t{deep} * a.size[1] * a.size[0];
            }
        }
    }

    // How much of a row goes into the sample.
    STN_DEVICE float weight(int row) const {
        const float y = along[1].weight(tap_along(1, row));
        return axes == 2 ? y : y * along[axes - 1].weight(tap_along(axes - 1, row));
    }

    // How fast that changes with the coordinate along an axis, y or z.
    STN_DEVICE float slope(int axis, int row) const {
        float product = along[axis].slope(tap_along(axis, row));
        if constexpr (axes == 3) product *= along[3 - axis].weight(tap_along(3 - axis, row));
        return product;
    }

    // The pixels of a row, each `pixel_size` elements long, whose first tap is at `place`. A second tap that
    // is none is not read.
    template <class T>
    STN_DEVICE void read_row(T (&pixels)[kTaps], const T* place, int32_t pixel_size) const {
        pixels[0] = __ldg(place);
        if constexpr (kTaps == 2) {
            pixels[1] = T{};
            if (along[0].second) pixels[1] = __ldg(place + pixel_size);
        }
        if constexpr (kTaps > 2) {
            STN_UNROLL for (int tap = 1; tap < kTaps; ++tap) {
                pixels[tap] = __ldg(place + int64_t{along[0].pixel(tap) - along[0].pixel(0)} * pixel_size);
            }
        }
    }
};

}  // namespace tuned
}  // namespace stn_deploy
