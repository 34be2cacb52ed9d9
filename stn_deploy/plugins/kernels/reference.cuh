// The operation as the paper writes it: one thread for each position of V, one loop over every tap, in
// double.
//
// What the tuned kernels are compared with. The same mathematics as stn_deploy/stn/reference.py, on a GPU.
#pragma once

#include "arguments.cuh"
#include "element.cuh"

namespace stn_deploy {
namespace reference {

// How much of the pixel at distance x - m goes into a sample, and how fast that changes with x.
// Source: Jaderberg et al. 2015, equations 4, 5 and 7; Keys 1981, equation 4 with a = -0.75.
template <Interpolation interpolation>
STN_DEVICE double weight(double distance) {
    const double s = fabs(distance), a = -0.75;
    if (interpolation == Interpolation::nearest) return distance >= -0.5 && distance < 0.5 ? 1.0 : 0.0;
    if (interpolation == Interpolation::linear) return s < 1 ? 1 - s : 0.0;
    if (s <= 1) return ((a + 2) * s - (a + 3)) * s * s + 1;
    return s < 2 ? ((a * s - 5 * a) * s + 8 * a) * s - 4 * a : 0.0;
}

template <Interpolation interpolation>
STN_DEVICE double slope(double distance) {
    const double s = fabs(distance), a = -0.75, sign = distance < 0 ? -1 : 1;
    if (interpolation == Interpolation::nearest) return 0.0;
    if (interpolation == Interpolation::linear) {
        return distance >= -1 && distance < 0 ? 1.0 : distance >= 0 && distance < 1 ? -1.0 : 0.0;
    }
    if (s <= 1) return sign * (3 * (a + 2) * s - 2 * (a + 3)) * s;
    return s < 2 ? sign * ((3 * a * s - 10 * a) * s + 8 * a) : 0.0;
}

// Which of `valid` pixels stands at place m, also past the edges; -1 for none.
STN_DEVICE int64_t pixel_at(int64_t m, int64_t valid, Padding padding, bool align_corners) {
    if (padding == Padding::border) return smaller(larger(m, int64_t{0}), valid - 1);
    if (padding == Padding::zeros) return m >= 0 && m < valid ? m : -1;
    // About the edges of the outermost pixels, or, with align_corners, about their centres.
    const int64_t period = align_corners ? 2 * (valid - 1) : 2 * valid;
    if (period == 0) return 0;
    const int64_t folded = ((m % period) + period) % period;
    return smaller(folded, period - (align_corners ? 0 : 1) - folded);
}

// One position: where it lies along each axis of an image, x first.
template <int axes>
struct Position {
    bool finite = true;
    bool moves[axes];    // whether it follows its coordinate: not beyond kFar
    double pixel[axes];  // counts pixel centres of the valid part
    double scale[axes];  // pixels for each unit of the coordinate
    int64_t valid[axes];

    STN_DEVICE Position(const float* coordinates, const Arguments<axes>& a, const float* extents) {
        for (int axis = 0; axis < axes; ++axis) {
            const float given = coordinates[axis];
            const double near = fmin(fmax(double{given}, -double{kFar}), double{kFar});
            finite = finite && is_finite(given);
            moves[axis] = near == double{given};
            valid[axis] = extents ? valid_pixels(extents[axes - 1 - axis], a.size[axis]) : a.size[axis];
            scale[axis] = 0.5 * static_cast<double>(a.align_corners ? valid[axis] - 1 : valid[axis]);
            pixel[axis] = (near + 1) * scale[axis] - (a.align_corners ? 0.0 : 0.5);
        }
    }
};

// Calls visit(offset within a plane, weight, slopes along each axis) for every pixel that a sample reads.
template <int axes, Interpolation interpolation, class Visit>
STN_DEVICE void each_tap(const Position<axes>& at, const Arguments<axes>& a, Visit visit) {
    if (!at.finite) return;
    const int rows = axes == 3 ? 4 : 1;
    for (int tap = 0; tap < rows * 16; ++tap) {
        const int step[3] = {tap % 4, tap / 4 % 4, tap / 16};  // no kernel reaches further than two pixels
        int64_t offset = 0, stride = 1;
        double whole = 1, along[axes];
        for (int axis = 0; axis < axes; ++axis) along[axis] = 1;
        for (int axis = 0; axis < axes; ++axis) {
            const double first = floor(at.pixel[axis]) - 1 + step[axis];
            const double distance = at.pixel[axis] - first;
            const int64_t pixel =
                pixel_at(static_cast<int64_t>(first), at.valid[axis], a.padding, a.align_corners);
            const double here = pixel < 0 ? 0 : weight<interpolation>(distance);
            const double change = pixel < 0 || !at.moves[axis] ? 0 : slope<interpolation>(distance);
            whole *= here;
            for (int other = 0; other < axes; ++other)
                along[other] *= other == axis ? change * at.scale[axis] : here;
            offset += larger(pixel, int64_t{0}) * stride;
            stride *= a.size[axis];
        }
        bool counts = whole != 0;
        for (int axis = 0; axis < axes; ++axis) counts = counts || along[axis] != 0;
        if (counts) visit(offset, whole, along);
    }
}

// Where images and channels lie: (N, C, pixels), or (N, pixels, C).
struct Layout {
    int64_t c, pixels;
    bool channels_last;
    STN_DEVICE int64_t at(int64_t n, int64_t channel, int64_t pixel) const {
        return channels_last ? (n * pixels + pixel) * c + channel : (n * c + channel) * pixels + pixel;
    }
};

// The coordinates of one position, and what divided them: of basis @ theta, or as the grid gives them.
template <int axes>
STN_DEVICE float coordinates_of(float* coordinates, const FromTheta& from, const Arguments<axes>& a,
                                int64_t n, int64_t point) {
    float sums[axes + 1] = {};
    const int32_t columns = a.columns();
    for (int64_t k = 0; k < a.k; ++k) {
        const float* row = from.theta + (n * a.k + k) * columns;
        for (int c = 0; c < columns; ++c) sums[c] = fmaf(from.basis[point * a.k + k], row[c], sums[c]);
    }
    const float divisor = a.homogeneous ? sums[axes] : 1.f;
    for (int axis = 0; axis < axes; ++axis)
        coordinates[axis] = a.homogeneous ? sums[axis] / divisor : sums[axis];
    return divisor;
}

template <int axes>
STN_DEVICE float coordinates_of(float* coordinates, const FromGrid& from, const Arguments<axes>& a, int64_t n,
                                int64_t point) {
    for (int axis = 0; axis < axes; ++axis)
        coordinates[axis] = from.grid[(n * a.points + point) * axes + axis];
    return 1.f;
}

template <int axes, class From>
STN_DEVICE Position<axes> position_of(const float* coordinates, const From& from, const Arguments<axes>& a,
                                      int64_t n) {
    const float* extents = nullptr;
    if constexpr (From::fused) extents = from.extents ? from.extents + n * axes : nullptr;
    return Position<axes>(coordinates, a, extents);
}

// Hands the gradient of one position on to theta (x = X / W: dx/dX = 1 / W, dx/dW = -x / W), or to the grid.
template <int axes>
STN_DEVICE void add_points_gradient(float* theta_gradient, const FromTheta& from, const Arguments<axes>& a,
                                    int64_t n, int64_t point, const double* moved, const float* coordinates,
                                    double divisor) {
    double sums[axes + 1] = {};
    for (int axis = 0; axis < axes; ++axis) {
        sums[axis] = moved[axis] / divisor;
        sums[axes] -= sums[axis] * double{coordinates[axis]};
    }
    const int32_t columns = a.columns();
    for (int64_t k = 0; k < a.k; ++k) {
        float* row = theta_gradient + (n * a.k + k) * columns;
        const double weight = from.basis[point * a.k + k];
        for (int c = 0; c < columns; ++c) atomicAdd(row + c, static_cast<float>(weight * sums[c]));
    }
}

template <int axes>
STN_DEVICE void add_points_gradient(float* grid_gradient, const FromGrid&, const Arguments<axes>& a,
                                    int64_t n, int64_t point, const double* moved, const float*, double) {
    for (int axis = 0; axis < axes; ++axis) {
        grid_gradient[(n * a.points + point) * axes + axis] += static_cast<float>(moved[axis]);
    }
}

// V of U.
template <int axes, Interpolation interpolation, class Type, bool channels_last, class From>
STN_DEVICE void forward(const void* source, const From& from, const Arguments<axes>& a, void* output) {
    const auto* u = static_cast<const typename Type::Stored*>(source);
    auto* v = static_cast<typename Type::Stored*>(output);
    const Layout read{a.c, a.plane(), channels_last}, written{a.c, a.points, channels_last};
    const int64_t threads = int64_t{gridDim.x} * blockDim.x, all = int64_t{a.n} * a.points;
    for (int64_t item = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; item < all; item += threads) {
        const int64_t n = item / a.points, point = item % a.points;
        float coordinates[axes];
        coordinates_of(coordinates, from, a, n, point);
        const Position<axes> at = position_of(coordinates, from, a, n);
        for (int32_t channel = 0; channel < a.c; ++channel) {
            double sum = 0;
            each_tap<axes, interpolation>(at, a, [&](int64_t pixel, double weight, const double*) {
                if (weight != 0) sum += weight * double{Type::widened(u[read.at(n, channel, pixel)])};
            });
            v[written.at(n, channel, point)] = Type::rounded(static_cast<float>(sum));
        }
    }
}

// Gradients of a loss, added to what is there: of U, and of theta or of the grid. Null: not wanted.
// Source: Jaderberg et al. 2015, equations 6 and 7.
template <int axes, Interpolation interpolation, class Type, class From>
STN_DEVICE void backward(const void* source, const From& from, const void* gradient, const Arguments<axes>& a,
                         float* source_gradient, float* points_gradient) {
    const auto* u = static_cast<const typename Type::Stored*>(source);
    const auto* upstream = static_cast<const typename Type::Stored*>(gradient);
    const Layout read{a.c, a.plane(), false}, written{a.c, a.points, false};
    const int64_t threads = int64_t{gridDim.x} * blockDim.x, all = int64_t{a.n} * a.points;
    for (int64_t item = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; item < all; item += threads) {
        const int64_t n = item / a.points, point = item % a.points;
        float coordinates[axes];
        const float divisor = coordinates_of(coordinates, from, a, n, point);
        const Position<axes> at = position_of(coordinates, from, a, n);
        double moved[axes + 1] = {};
        for (int32_t channel = 0; channel < a.c; ++channel) {
            const double change = Type::widened(upstream[written.at(n, channel, point)]);
            each_tap<axes, interpolation>(at, a, [&](int64_t pixel, double weight, const double* slopes) {
                const int64_t place = read.at(n, channel, pixel);
                for (int axis = 0; axis < axes; ++axis) {
                    if (slopes[axis] != 0)
                        moved[axis] += change * slopes[axis] * double{Type::widened(u[place])};
                }
                if (source_gradient && weight != 0) {
                    atomicAdd(source_gradient + place, static_cast<float>(change * weight));
                }
            });
        }
        if (points_gradient && at.finite)
            add_points_gradient(points_gradient, from, a, n, point, moved, coordinates, divisor);
    }
}

}  // namespace reference
}  // namespace stn_deploy
