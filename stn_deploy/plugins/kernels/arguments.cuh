// What every kernel is told, under the names of the paper: U (N, C, D, H, W), basis (P, K), theta (N, K,
// columns).
#pragma once

#include "platform.cuh"

namespace stn_deploy {

// Axes are counted like coordinates: x, y(, z).
template <int axes>
struct Arguments {
    int32_t n, c;
    int32_t size[axes];  // of the canvas: width, height(, depth)
    int32_t k, points;
    Padding padding;
    bool align_corners, homogeneous;

    STN_DEVICE Arguments(int32_t n, int32_t c, int32_t depth, int32_t height, int32_t width, int32_t k,
                         int32_t points, int32_t padding, int32_t align_corners, int32_t homogeneous)
        : n(n),
          c(c),
          k(k),
          points(points),
          padding(static_cast<Padding>(padding)),
          align_corners(align_corners != 0),
          homogeneous(homogeneous != 0) {
        size[0] = width;
        size[1] = height;
        if constexpr (axes == 3) size[2] = depth;
    }

    STN_DEVICE int32_t columns() const { return axes + (homogeneous ? 1 : 0); }

    STN_DEVICE int64_t plane() const {
        int64_t pixels = 1;
        STN_UNROLL for (int axis = 0; axis < axes; ++axis)
            pixels *= size[axis];
        return pixels;
    }
};

// Where positions come from: basis @ theta on the valid part of a canvas, or a grid (N, P, axes) on all of
// it. No extents: every image fills its canvas.
struct FromTheta {
    static constexpr bool fused = true;
    const float* STN_RESTRICT basis;
    const float* STN_RESTRICT theta;
    const float* STN_RESTRICT extents;
};

struct FromGrid {
    static constexpr bool fused = false;
    const float* STN_RESTRICT grid;
};

// How many pixels of an axis an image fills: rounded as ONNX rounds, half to even. Whatever an extent may be,
// at least one pixel and at most the canvas, so that no hostile extent reads past it.
STN_DEVICE int32_t valid_pixels(float extent, int32_t size) {
    const float filled = fmaxf(rintf(extent * static_cast<float>(size)), 1.f);  // 1 also of NaN
    return filled < static_cast<float>(size) ? static_cast<int32_t>(filled) : size;
}

// Whether a coordinate is a number: neither NaN nor infinite.
STN_DEVICE bool is_finite(float value) { return fabsf(value) <= 3.402823466e+38f; }

}  // namespace stn_deploy
