// Which pixels of an axis a sample reads, how much of each, and how fast that changes with the coordinate.
//
// Every coordinate is folded and clamped as a float before it becomes a whole number, so that none overflows.
#pragma once

#include "arguments.cuh"

namespace stn_deploy {

// One axis of one image: pixel = coordinate * scale + shift counts pixel centres from the first valid one.
struct alignas(16) Axis {
    float scale, shift;
    float reach;  // where the taps of a linear sample end: the last valid pixel, or, with zeros, the next one
    int32_t valid;  // pixels

    Axis() = default;
    STN_DEVICE Axis(int32_t valid, Padding padding, bool align_corners)
        : scale(0.5f * static_cast<float>(align_corners ? valid - 1 : valid)),
          shift(align_corners ? scale : scale - 0.5f),
          reach(static_cast<float>(padding == Padding::zeros ? valid : valid - 1)),
          valid(valid) {}
};

// The largest whole number that is no larger.
STN_DEVICE int32_t floor_of(float value) {
#ifdef STN_EMULATION
    return static_cast<int32_t>(floorf(value));
#else
    return __float2int_rd(value);
#endif
}

STN_DEVICE constexpr int taps_of(Interpolation interpolation) {
    return interpolation == Interpolation::nearest ? 1 : interpolation == Interpolation::linear ? 2 : 4;
}

// How many blocks should fit on a multiprocessor at least: as many as registers allow without spilling any.
STN_DEVICE constexpr int blocks_of(int axes, Interpolation interpolation, bool channels_last) {
    if (channels_last) return interpolation == Interpolation::cubic ? 2 : axes == 3 ? 3 : 5;
    return axes == 3 ? 6 : interpolation == Interpolation::cubic ? 5 : 7;
}

// `any`: whether the padding leaves a tap. If it does, every pixel is a valid one, and a tap that was dropped
// has weight 0. `slope`: of each weight, for each unit of the coordinate.
template <Interpolation interpolation>
struct Taps;

template <>
struct Taps<Interpolation::nearest> {
    int32_t first;
    bool any;

    STN_DEVICE int32_t pixel(int) const { return first; }
    STN_DEVICE float weight(int) const { return 1.f; }
    STN_DEVICE float slope(int) const { return 0.f; }
};

template <>
struct Taps<Interpolation::linear> {
    int32_t first;
    bool second;  // whether the next pixel is a tap as well
    float part, rest, change, first_change;
    bool any;

    STN_DEVICE int32_t pixel(int tap) const { return tap == 1 && second ? first + 1 : first; }
    STN_DEVICE float weight(int tap) const { return tap == 0 ? rest : part; }
    STN_DEVICE float slope(int tap) const { return tap == 0 ? first_change : change; }
};

template <>
struct Taps<Interpolation::cubic> {
    int32_t pixels[4];
    float weights[4], slopes[4];
    bool any;

    STN_DEVICE int32_t pixel(int tap) const { return pixels[tap]; }
    STN_DEVICE float weight(int tap) const { return weights[tap]; }
    STN_DEVICE float slope(int tap) const { return slopes[tap]; }
};

// Between two mirrors at -1 and 1, which are the edges of the outermost pixels or, with align_corners, their
// centres. Exact: neither step rounds, however far the coordinate.
STN_DEVICE float folded(float coordinate, bool* mirrored) {
    const float near = fminf(fmaxf(coordinate, -kFar), kFar);
    const float rest =
        fmaf(-4.f, rintf(0.25f * near), near);  // a picture and its mirror image repeat every 4
    *mirrored = fabsf(rest) > 1.f;
    return *mirrored ? copysignf(2.f, rest) - rest : rest;
}

// Positions that lie outside all taps go to where the padding drops them, or to the border that it repeats.
STN_DEVICE float within_reach(float pixel, const Axis& axis, Padding padding) {
    return fminf(fmaxf(pixel, padding == Padding::zeros ? -2.f : 0.f), axis.reach);
}

// Equation 4: the pixel in which the position lies; of two, the later one, also where the image is mirrored.
STN_DEVICE void find_taps(Taps<Interpolation::nearest>& taps, const Axis& axis, float coordinate,
                          Padding padding, bool) {
    bool mirrored = false;
    if (padding == Padding::reflection) coordinate = folded(coordinate, &mirrored);
    const float edge = fmaf(coordinate, axis.scale, axis.shift + 0.5f);  // counts from the first pixel's edge
    const float pixel = within_reach(mirrored ? ceilf(edge) - 1.f : floorf(edge), axis, padding);
    taps.first = static_cast<int32_t>(pixel);
    taps.any = static_cast<uint32_t>(taps.first) < static_cast<uint32_t>(axis.valid);
}

// Equations 5 and 7.
STN_DEVICE void find_taps(Taps<Interpolation::linear>& taps, const Axis& axis, float coordinate,
                          Padding padding, bool) {
    bool mirrored = false;
    const bool moves = fabsf(coordinate) <= kFar;
    if (padding == Padding::reflection) coordinate = folded(coordinate, &mirrored);
    const float pixel = fmaf(coordinate, axis.scale, axis.shift);
    const float inside = within_reach(pixel, axis, padding);
    const int32_t below = floor_of(inside), above = below + 1;
    const float part = inside - static_cast<float>(below);
    taps.any = static_cast<uint32_t>(above) <= static_cast<uint32_t>(axis.valid);
    // Zeros: from before the first pixel to it, the only tap is the second one.
    const bool before = below < 0;
    taps.first = larger(below, 0);
    taps.second = !before && above < axis.valid;
    taps.rest = before ? part : 1.f - part;
    taps.part = taps.second ? part : 0.f;
    // On the border, and in its mirror image, nothing changes.
    const bool flat = !moves || !(padding == Padding::zeros || (pixel >= 0.f && pixel < axis.reach));
    const float slope = flat ? 0.f : mirrored ? -axis.scale : axis.scale;
    taps.first_change = before ? slope : -slope;
    taps.change = taps.second ? slope : 0.f;
}

// Keys 1981, equation 4 with a = -0.75, multiplied out for the four taps about a position.
STN_DEVICE void find_taps(Taps<Interpolation::cubic>& taps, const Axis& axis, float coordinate,
                          Padding padding, bool align_corners) {
    constexpr float a = -0.75f;
    bool mirrored = false;
    const bool moves = fabsf(coordinate) <= kFar;
    if (padding == Padding::reflection) coordinate = folded(coordinate, &mirrored);
    const float pixel = fmaf(coordinate, axis.scale, axis.shift);
    // Three pixels past the border all four taps are beyond it.
    const float inside = fminf(fmaxf(pixel, -3.f), axis.reach + 3.f);
    const int32_t below = floor_of(inside), last = axis.valid - 1;
    const float t = inside - static_cast<float>(below), u = 1.f - t;
    taps.any =
        padding != Padding::zeros || static_cast<uint32_t>(below + 2) < static_cast<uint32_t>(last + 4);
    taps.weights[0] = a * t * u * u;
    taps.weights[1] = fmaf(fmaf(a + 2.f, t, -(a + 3.f)), t * t, 1.f);
    taps.weights[2] = fmaf(fmaf(a + 2.f, u, -(a + 3.f)), u * u, 1.f);
    taps.weights[3] = a * u * t * t;
    const float slope = !moves ? 0.f : mirrored ? -axis.scale : axis.scale;
    taps.slopes[0] = slope * a * u * fmaf(-3.f, t, 1.f);
    taps.slopes[1] = slope * fmaf(3.f * (a + 2.f), t, -2.f * (a + 3.f)) * t;
    taps.slopes[2] = -slope * fmaf(3.f * (a + 2.f), u, -2.f * (a + 3.f)) * u;
    taps.slopes[3] = slope * a * t * fmaf(-3.f, t, 2.f);
    STN_UNROLL for (int tap = 0; tap < 4; ++tap) {
        int32_t place = below - 1 + tap;
        if (padding == Padding::zeros && static_cast<uint32_t>(place) > static_cast<uint32_t>(last)) {
            taps.weights[tap] = taps.slopes[tap] = 0.f;
        }
        if (padding == Padding::reflection) {
            // The position lies within the image, so its taps lie less than one image beyond.
            const int32_t edge = align_corners ? 0 : 1;
            if (place < 0) place = -edge - place;
            if (place > last) place = 2 * last + edge - place;
        }
        taps.pixels[tap] = smaller(larger(place, 0), last);
    }
}

}  // namespace stn_deploy
