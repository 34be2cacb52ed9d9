// Gradients of a loss, tuned: of U by atomic additions, of theta or of the grid without writing those of
// positions.
//
// Source: Jaderberg et al. 2015, equations 6 (with respect to U) and 7 (with respect to a coordinate).
#pragma once

#include "element.cuh"
#include "grid_points.cuh"
#include "stencil.cuh"
#include "theta_points.cuh"

namespace stn_deploy {
namespace tuned {

// What a loss gains where one position moves, for each unit of its coordinates, and of U where it was read.
template <int axes, Interpolation interpolation, class Type>
class Slopes {
    using Rows = Stencil<axes, interpolation>;
    using Stored = typename Type::Stored;
    static constexpr int kTaps = Rows::kTaps, kRows = Rows::kRows;

  public:
    STN_DEVICE Slopes(const void* source, const void* gradient, float* source_gradient,
                      const Arguments<axes>& a, const Share& share)
        : a_(a), channels_(share.end_channel - share.first_channel), plane_(a.plane()) {
        const int64_t before = share.first_image * a.c + share.first_channel;
        source_ = static_cast<const Stored*>(source) + before * plane_;
        gradient_ = static_cast<const Stored*>(gradient) + before * a.points + share.point;
        source_gradient_ = source_gradient ? source_gradient + before * plane_ : nullptr;
    }

    // Adds up over the channels of this block; `moved` is left at 0 where the position reads nothing.
    STN_DEVICE void add(float (&moved)[axes], const Place<axes>& place, bool of_points) const {
        Rows stencil;
        if (!stencil.find(place.coordinates, place.axis, a_)) return;
        int64_t row[kRows];
        stencil.find_rows(row, a_);
        const Stored* change = gradient_;
        STN_ROLLED for (int32_t channel = 0; channel < channels_; ++channel) {
            const float gained = Type::widened(__ldg(change));
            if (source_gradient_) spread(gained, stencil, row);
            if (of_points) weigh(moved, gained, stencil, row);
            STN_UNROLL for (int i = 0; i < kRows; ++i)
                row[i] += plane_;
            change += a_.points;
        }
    }

    STN_DEVICE void step(const Steps& steps) {
        source_ += steps.source;
        gradient_ += steps.output;
        if (source_gradient_) source_gradient_ += steps.source;
    }

  private:
    // Equation 6: what a pixel gave to V, it gets back with the same weight.
    STN_DEVICE void spread(float gained, const Rows& stencil, const int64_t (&row)[kRows]) const {
        STN_UNROLL for (int i = 0; i < kRows; ++i) {
            STN_UNROLL for (int tap = 0; tap < kTaps; ++tap) {
                const float weight = stencil.weight(i) * stencil.along[0].weight(tap);
                const int64_t pixel = row[i] + (stencil.along[0].pixel(tap) - stencil.along[0].pixel(0));
                if (weight != 0.f) atomicAdd(source_gradient_ + pixel, gained * weight);
            }
        }
    }

    // Equation 7: along each axis in turn one kernel gives way to its slope.
    STN_DEVICE void weigh(float (&moved)[axes], float gained, const Rows& stencil,
                          const int64_t (&row)[kRows]) const {
        STN_UNROLL for (int i = 0; i < kRows; ++i) {
            Stored pixels[kTaps];
            stencil.read_row(pixels, source_ + row[i], 1);
            float value = 0.f, slope = 0.f;
            STN_UNROLL for (int tap = 0; tap < kTaps; ++tap) {
                const float pixel = Type::widened(pixels[tap]);
                value = fmaf(stencil.along[0].weight(tap), pixel, value);
                slope = fmaf(stencil.along[0].slope(tap), pixel, slope);
            }
            moved[0] = fmaf(gained * stencil.weight(i), slope, moved[0]);
            STN_UNROLL for (int axis = 1; axis < axes; ++axis) {
                moved[axis] = fmaf(gained * stencil.slope(axis, i), value, moved[axis]);
            }
        }
    }

    const Arguments<axes>& a_;
    int32_t channels_;
    int64_t plane_;
    const Stored *source_,
        *gradient_;  // first channel of this block, of the image at hand; position of this thread
    float* source_gradient_;
};

template <int axes, class From>
class Collector;

// Into the gradient of a grid (N, P, axes). Added, since each group of channels has a block of its own.
template <int axes>
class Collector<axes, FromGrid> {
  public:
    struct Shared {};

    STN_DEVICE Collector(float* grid_gradient, const FromGrid&, const Arguments<axes>& a, const Share& share,
                         Shared&)
        : gradient_(grid_gradient), a_(a), share_(share) {}

    STN_DEVICE void add(const float (&moved)[axes], const Place<axes>&, int32_t done) const {
        if (!share_.inside) return;
        const int64_t n = share_.first_image + done * share_.step;
        STN_UNROLL for (int axis = 0; axis < axes; ++axis) {
            atomicAdd(gradient_ + (n * a_.points + share_.point) * axes + axis, moved[axis]);
        }
    }

  private:
    float* gradient_;
    const Arguments<axes>& a_;
    const Share& share_;
};

// Into the gradient of theta (N, K, columns): the transpose of basis @ theta. Each warp sums over its
// positions, then adds each number once.
template <int axes>
class Collector<axes, FromTheta> {
    static constexpr int kWarp = 32;

  public:
    struct Shared {
        float moved[kThreads / kWarp][axes + 1][kWarp];
    };

    STN_DEVICE Collector(float* theta_gradient, const FromTheta& from, const Arguments<axes>& a,
                         const Share& share, Shared& shared)
        : gradient_(theta_gradient),
          from_(from),
          a_(a),
          share_(share),
          moved_(shared.moved[threadIdx.x / kWarp]) {}

    STN_DEVICE void add(const float (&moved)[axes], const Place<axes>& place, int32_t done) const {
        const int lane = static_cast<int>(threadIdx.x % kWarp);
        const int32_t first = share_.tile + static_cast<int32_t>(threadIdx.x) - lane;
        const int32_t columns = a_.columns(), last = smaller(a_.points - first, kWarp) - 1;
        if (last < 0) return;  // as all of this warp do
        hand_in(moved, place, lane);
        __syncwarp();
        float* gradient = gradient_ + (share_.first_image + done * share_.step) * a_.k * columns;
        STN_ROLLED for (int32_t entry = lane; entry < a_.k * columns; entry += kWarp) {
            const int32_t k = entry / columns, column = entry % columns;
            const float* basis = from_.basis + int64_t{first} * a_.k + k;
            float sum = 0.f;
            // Where there are no more positions they have moved by 0.
            STN_UNROLL_8 for (int position = 0; position < kWarp; ++position) {
                const float weight = __ldg(basis + int64_t{smaller(position, last)} * a_.k);
                const float each = moved_[column][position];
                // A position that is no number has moved by 0, but its row of the basis may be NaN.
                sum = fmaf(each != 0.f ? weight : 0.f, each, sum);
            }
            atomicAdd(gradient + entry, sum);
        }
        __syncwarp();
    }

  private:
    // With x = X / W: dx/dX = 1 / W and dx/dW = -x / W. A position that reads nothing has no gradient, and
    // must not have NaN for one.
    STN_DEVICE void hand_in(const float (&moved)[axes], const Place<axes>& place, int lane) const {
        float divisors = 0.f;
        STN_UNROLL for (int axis = 0; axis < axes; ++axis) {
            const float each = moved[axis] == 0.f ? 0.f : quotient(moved[axis], place.divisor);
            if (each != 0.f) divisors = fmaf(-each, place.coordinates[axis], divisors);
            moved_[axis][lane] = each;
        }
        moved_[axes][lane] = divisors;
    }

    float* gradient_;
    FromTheta from_;
    const Arguments<axes>& a_;
    const Share& share_;
    float (&moved_)[axes + 1][kWarp];
};

template <int axes, Interpolation interpolation, class Type, class From>
STN_DEVICE void backward(const void* source, const From& from, const void* gradient, const Arguments<axes>& a,
                         float* source_gradient, float* points_gradient) {
    using Points = Positions<axes, From>;
    using Sink = Collector<axes, From>;
    STN_SHARED(typename Points::Shared, shared);
    STN_SHARED(typename Sink::Shared, shared_sums);
    STN_SHARED(Steps, steps);
    const Share share(a);
    Points positions(from, a, share, shared);
    if (threadIdx.x == 0) steps = {share.step * a.c * a.plane(), share.step * a.c * a.points};
    __syncthreads();
    Slopes<axes, interpolation, Type> slopes(source, gradient, source_gradient, a, share);
    const Sink sink(points_gradient, from, a, share, shared_sums);
    const bool of_points = points_gradient && interpolation != Interpolation::nearest;
    STN_ROLLED for (int32_t done = 0; done < share.images; ++done) {
        Place<axes> place;
        positions.next(place, done);
        float moved[axes] = {};
        if (share.inside) slopes.add(moved, place, of_points);
        if (of_points) sink.add(moved, place, done);
        slopes.step(steps);
    }
}

}  // namespace tuned
}  // namespace stn_deploy
