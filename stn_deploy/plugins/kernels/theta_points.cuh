// Positions that are basis @ theta, so that no grid is ever written.
//
// A thread has one position of V for all images of its block. Its row of the basis stays in registers. What
// is the same for all threads, theta and the axes of an image, comes through shared memory, some images at a
// time, and is read from there four numbers at once.
#pragma once

#include "share.cuh"

namespace stn_deploy {
namespace tuned {

// X / W, right to the last bit, so that a position exactly between two pixels stays there. The compiler's own
// division calls a subroutine, which costs a stack; this one is right to two units and then corrected.
STN_DEVICE float quotient(float dividend, float divisor) {
#ifdef STN_EMULATION
    return dividend / divisor;
#else
    float first, correction;
    asm("div.full.f32 %0, %1, %2;" : "=f"(first) : "f"(dividend), "f"(divisor));
    const float rest = fmaf(-first, divisor, dividend);
    asm("div.full.f32 %0, %1, %2;" : "=f"(correction) : "f"(rest), "f"(divisor));
    return is_finite(correction) ? first + correction : first;
#endif
}

template <int axes>
class Positions<axes, FromTheta> {
    static constexpr int kKept = 24;   // numbers of the basis that a thread keeps
    static constexpr int kImages = 8;  // whose theta is in shared memory at a time
    static constexpr int kRow = kKept * (axes + 1), kWarp = 32;
    // Where K is larger than kKept: columns of the basis at a time, images that share a look at them, and the
    // stride of a column in shared memory, by which no two lanes of a warp write to one bank.
    static constexpr int kColumns = 8, kImagesOfMany = 4, kStride = kThreads + 4;

    struct Kept {
        alignas(16) float theta[kImages][kRow];  // coordinates (K, axes), then divisors (K)
    };
    struct Many {
        union {
            float basis[kColumns][kStride];                 // while sums are made
            float sums[kImagesOfMany][axes + 1][kThreads];  // once they are
        };
        float theta[kImagesOfMany][kColumns][axes + 1];
    };

  public:
    struct Shared {
        union {
            Kept kept;
            Many many;
        };
        alignas(16) Axis axis[kImages][axes];
    };

    STN_DEVICE Positions(const FromTheta& from, const Arguments<axes>& a, const Share& share, Shared& shared)
        : from_(from), a_(a), share_(share), shared_(shared), many_(a.k > kKept) {
        if (!many_ && share.images > 0) keep_basis(from.basis + int64_t{share.point} * a.k);
    }

    STN_DEVICE void next(Place<axes>& place, int32_t done) {
        if (ready_ == 0) prepare(share_.first_image + done * share_.step);
        const int image = --ready_;
        STN_UNROLL for (int i = 0; i < axes; ++i)
            place.axis[i] = shared_.axis[image][i];
        if (many_) {
            STN_UNROLL for (int i = 0; i < axes; ++i)
                place.coordinates[i] = shared_.many.sums[image][i][threadIdx.x];
            place.divisor = shared_.many.sums[image][axes][threadIdx.x];
        } else {
            sum(place.coordinates, &place.divisor, shared_.kept.theta[image]);
        }
        if (!a_.homogeneous) {
            place.divisor = 1.f;
            return;
        }
        STN_UNROLL for (int i = 0; i < axes; ++i)
            place.coordinates[i] = quotient(place.coordinates[i], place.divisor);
    }

  private:
    // Past the end of K, where theta is 0, numbers come again.
    STN_DEVICE void keep_basis(const float* row) {
        if (a_.k % 4 == 0 && reinterpret_cast<uint64_t>(from_.basis) % 16 == 0) {
            STN_UNROLL for (int k = 0; k < kKept; k += 4) {
                const float4 four = __ldg(reinterpret_cast<const float4*>(row + smaller(k, a_.k - 4)));
                basis_[k] = four.x;
                basis_[k + 1] = four.y;
                basis_[k + 2] = four.z;
                basis_[k + 3] = four.w;
            }
        } else {
            STN_UNROLL for (int k = 0; k < kKept; ++k)
                basis_[k] = __ldg(row + smaller(k, a_.k - 1));
        }
    }

    // Image n goes to the last place, and those that follow to the places before it: `ready_` counts down.
    STN_DEVICE void prepare(int64_t n) {
        ready_ = many_ ? kImagesOfMany : kImages;
        __syncthreads();  // all have read what was there
        if (threadIdx.x >= kThreads - kWarp)
            stage_axes(n, static_cast<int>(threadIdx.x) - (kThreads - kWarp));
        if (many_) {
            sum_many(n);
        } else if (threadIdx.x < kRow) {
            stage_theta(n, static_cast<int>(threadIdx.x));
        }
        __syncthreads();
    }

    STN_DEVICE int64_t image_at(int place, int64_t n) const { return n + (ready_ - 1 - place) * share_.step; }

    // One axis of one image for each thread of a warp.
    STN_DEVICE void stage_axes(int64_t n, int lane) {
        static_assert(kImages * axes <= kWarp, "one warp stages the axes of all images");
        const int place = lane / axes, which = lane % axes;
        const int64_t image = image_at(place, n);
        if (place >= ready_ || image >= a_.n) return;
        const float extent = from_.extents ? __ldg(from_.extents + image * axes + axes - 1 - which) : 1.f;
        int32_t size = a_.size[0];
        STN_UNROLL for (int other = 1; other < axes; ++other)
            size = which == other ? a_.size[other] : size;
        shared_.axis[place][which] = Axis(valid_pixels(extent, size), a_.padding, a_.align_corners);
    }

    // One number of each image for each thread: all of them are on their way at once.
    STN_DEVICE void stage_theta(int64_t n, int to) {
        static_assert(kRow <= kThreads - kWarp, "threads that stage theta stage no axes");
        const int divisor = to - kKept * axes;  // coordinates (K, axes), then divisors (K)
        const int k = divisor < 0 ? to / axes : divisor, column = divisor < 0 ? to % axes : axes;
        const int32_t columns = a_.columns();
        const bool there = k < a_.k && column < columns;
        const float* number = from_.theta + (n * a_.k + k) * columns + column;
        float numbers[kImages];
        STN_UNROLL for (int place = kImages - 1; place >= 0; --place) {
            numbers[place] = there && image_at(place, n) < a_.n ? __ldg(number) : 0.f;
            number += share_.step * a_.k * columns;
        }
        STN_UNROLL for (int place = 0; place < kImages; ++place)
            shared_.kept.theta[place][to] = numbers[place];
    }

    // Affine and projective transforms have up to 4 rows of theta, splines mostly 20: few tests are enough.
    STN_DEVICE void sum(float (&coordinates)[axes], float* divisor, const float* theta) const {
        STN_UNROLL for (int axis = 0; axis < axes; ++axis)
            coordinates[axis] = 0.f;
        *divisor = 0.f;
        add<0, 4>(coordinates, theta);
        if (a_.k > 4) add<4, 20>(coordinates, theta);
        if (a_.k > 20) add<20, kKept>(coordinates, theta);
        if (!a_.homogeneous) return;
        add_divisors<0, 4>(divisor, theta);
        if (a_.k > 4) add_divisors<4, 20>(divisor, theta);
        if (a_.k > 20) add_divisors<20, kKept>(divisor, theta);
    }

    template <int first, int end>
    STN_DEVICE void add(float (&coordinates)[axes], const float* theta) const {
        STN_UNROLL for (int k = first; k < end; k += 4) {
            float rows[4 * axes];
            STN_UNROLL for (int i = 0; i < axes; ++i) {
                const float4 four = reinterpret_cast<const float4*>(theta + k * axes)[i];
                rows[4 * i] = four.x;
                rows[4 * i + 1] = four.y;
                rows[4 * i + 2] = four.z;
                rows[4 * i + 3] = four.w;
            }
            STN_UNROLL for (int i = 0; i < 4 * axes; ++i) {
                coordinates[i % axes] = fmaf(basis_[k + i / axes], rows[i], coordinates[i % axes]);
            }
        }
    }

    template <int first, int end>
    STN_DEVICE void add_divisors(float* divisor, const float* theta) const {
        STN_UNROLL for (int k = first; k < end; k += 4) {
            const float4 four = *reinterpret_cast<const float4*>(theta + kKept * axes + k);
            *divisor = fmaf(basis_[k], four.x, *divisor);
            *divisor = fmaf(basis_[k + 1], four.y, *divisor);
            *divisor = fmaf(basis_[k + 2], four.z, *divisor);
            *divisor = fmaf(basis_[k + 3], four.w, *divisor);
        }
    }

    // More of K than registers hold: the basis comes through shared memory as well, and some images share a
    // look at it; their sums then wait there.
    STN_DEVICE void sum_many(int64_t n) {
        Many& many = shared_.many;
        float sums[kImagesOfMany][axes + 1] = {};
        STN_ROLLED for (int32_t k = 0; k < a_.k; k += kColumns) {
            __syncthreads();
            stage_many(k, n);
            __syncthreads();
            STN_ROLLED for (int i = 0; i < kColumns; ++i) {
                const float weight = many.basis[i][threadIdx.x];
                STN_UNROLL for (int image = 0; image < kImagesOfMany; ++image) {
                    STN_UNROLL for (int column = 0; column <= axes; ++column) {
                        sums[image][column] = fmaf(weight, many.theta[image][i][column], sums[image][column]);
                    }
                }
            }
        }
        __syncthreads();
        STN_UNROLL for (int image = 0; image < kImagesOfMany; ++image) {
            STN_UNROLL for (int column = 0; column <= axes; ++column)
                many.sums[image][column][threadIdx.x] = sums[image][column];
        }
    }

    // Columns k to k + kColumns of the block's rows of the basis, and those rows of theta. Past K they are 0.
    STN_DEVICE void stage_many(int32_t k, int64_t n) {
        STN_ROLLED for (int i = threadIdx.x; i < kColumns * kThreads; i += kThreads) {
            const int32_t row = smaller(share_.tile + i / kColumns, a_.points - 1), column = k + i % kColumns;
            shared_.many.basis[i % kColumns][i / kColumns] =
                column < a_.k ? __ldg(from_.basis + int64_t{row} * a_.k + column) : 0.f;
        }
        STN_ROLLED for (int i = threadIdx.x; i < kImagesOfMany * kColumns * (axes + 1); i += kThreads) {
            const int column = i % (axes + 1), row = i / (axes + 1) % kColumns,
                      place = i / (axes + 1) / kColumns;
            const int64_t image = image_at(place, n);
            const bool there = column < a_.columns() && k + row < a_.k && image < a_.n;
            shared_.many.theta[place][row][column] =
                there ? __ldg(from_.theta + (image * a_.k + k + row) * a_.columns() + column) : 0.f;
        }
    }

    FromTheta from_;
    const Arguments<axes>& a_;
    const Share& share_;
    Shared& shared_;
    bool many_;
    int ready_ = 0;  // images that are prepared and not yet taken
    float basis_[kKept];
};

}  // namespace tuned
}  // namespace stn_deploy
