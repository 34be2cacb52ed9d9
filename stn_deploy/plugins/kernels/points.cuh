// Where the positions of a block come from, image after image: basis @ theta, or a grid.
//
// A thread has one position of V for all images of its block. Its row of the basis stays in registers. What is the
// same for all threads, theta and the frame of an image, comes through shared memory, some images at a time, and is
// read from there four numbers at once.
#pragma once

#include "taps.cuh"

namespace stn_deploy {
namespace tuned {

// The part of the work that falls to a block: see blocks_for in launch.h. Read off the grid, so that any number of
// blocks that holds every tile and group of channels is right.
struct Share {
    int32_t tile;                         // its first position
    int32_t point;                        // that of this thread; the last one again where there is none left
    bool inside;                          // whether there is one
    int32_t first_channel, end_channel;
    int32_t images;                       // how many, from first_image in steps
    int64_t first_image, step;

    template <int axes>
    STN_DEVICE explicit Share(const Arguments<axes>& a) {
        const uint32_t tiles = ceil_div<uint32_t>(a.points, kPointsPerBlock);
        const uint32_t groups = ceil_div<uint32_t>(a.c, kChannelsPerBlock), each = tiles * groups;
        const uint32_t rest = blockIdx.x % each, tile_index = rest % tiles, group = rest / tiles;
        tile = static_cast<int32_t>(tile_index * kPointsPerBlock);
        inside = tile + threadIdx.x < static_cast<uint32_t>(a.points);
        point = inside ? tile + static_cast<int32_t>(threadIdx.x) : a.points - 1;
        first_channel = static_cast<int32_t>(group * kChannelsPerBlock);
        end_channel = smaller(first_channel + kChannelsPerBlock, a.c);
        // Blocks that do not make up a full set have none.
        const uint32_t sets = larger(gridDim.x / each, 1u), set = blockIdx.x / each;
        first_image = set;
        step = sets;
        images = set < sets && set < static_cast<uint32_t>(a.n) ? static_cast<int32_t>((a.n - 1 - set) / sets + 1) : 0;
    }
};

// Elements from one image of a block to its next. They wait in shared memory, where the compiler leaves them: it
// would rather compute them anew for each image.
struct alignas(16) Steps {
    int64_t source, output;
};

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

// Where the position of a thread lies in one image.
template <int axes>
struct Place {
    float coordinates[axes];
    float divisor;    // what they have been divided by: 1 unless homogeneous
    Axis axis[axes];
};

template <int axes, class From>
class Positions;

template <int axes>
class Positions<axes, FromGrid> {
  public:
    struct Shared {};

    STN_DEVICE Positions(const FromGrid& from, const Arguments<axes>& a, const Share& share, Shared&)
        : a_(a), share_(share), step_(share.step * a.points * axes),
          grid_(from.grid + (share.first_image * a.points + share.point) * axes),
          paired_(axes == 2 && reinterpret_cast<uintptr_t>(from.grid) % 8 == 0) {
        if (share.images > 0) fetch();
    }

    // In an image that comes after `done` others of this block.
    STN_DEVICE void next(Place<axes>& place, int32_t done) {
        STN_UNROLL
        for (int i = 0; i < axes; ++i) {
            place.coordinates[i] = fetched_[i];
            place.axis[i] = Axis(a_.size[i], a_.align_corners);
        }
        place.divisor = 1.f;
        if (done + 1 < share_.images) fetch();
    }

  private:
    // Starts to read the position in an image; it is used one image later.
    STN_DEVICE void fetch() {
        if (paired_) {
            const float2 both = __ldg(reinterpret_cast<const float2*>(grid_));
            fetched_[0] = both.x;
            fetched_[1] = both.y;
        } else {
            STN_UNROLL
            for (int axis = 0; axis < axes; ++axis) fetched_[axis] = __ldg(grid_ + axis);
        }
        grid_ += step_;
    }

    const Arguments<axes>& a_;
    const Share& share_;
    int64_t step_;
    const float* grid_;
    bool paired_;
    float fetched_[axes];
};

template <int axes>
class Positions<axes, FromTheta> {
    static constexpr int kKept = 24;              // numbers of the basis that a thread keeps
    static constexpr int kImages = 8;             // whose theta is in shared memory at a time
    static constexpr int kRow = kKept * (axes + 1);
    // Where K is larger than kKept: columns of the basis at a time, images that share a look at them, and the
    // stride of a column in shared memory, by which no two lanes of a warp write to one bank.
    static constexpr int kColumns = 8, kImagesOfMany = 4, kStride = kThreads + 4;

    struct Kept {
        alignas(16) float theta[kImages][kRow];  // coordinates (K, axes), then divisors (K)
    };
    struct Many {
        union {
            float basis[kColumns][kStride];                  // while sums are made
            float sums[kImagesOfMany][axes + 1][kThreads];   // once they are
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
        if (!many_) keep_basis(from.basis + int64_t{share.point} * a.k);
    }

    STN_DEVICE void next(Place<axes>& place, int32_t done) {
        if (ready_ == 0) prepare(share_.first_image + done * share_.step);
        const int image = --ready_;
        STN_UNROLL
        for (int i = 0; i < axes; ++i) place.axis[i] = shared_.axis[image][i];
        if (many_) {
            STN_UNROLL
            for (int i = 0; i < axes; ++i) place.coordinates[i] = shared_.many.sums[image][i][threadIdx.x];
            place.divisor = shared_.many.sums[image][axes][threadIdx.x];
        } else {
            sum(place.coordinates, &place.divisor, shared_.kept.theta[image]);
        }
        if (!a_.homogeneous) {
            place.divisor = 1.f;
            return;
        }
        STN_UNROLL
        for (int i = 0; i < axes; ++i) place.coordinates[i] = quotient(place.coordinates[i], place.divisor);
    }

  private:
    // Past the end of K both basis and theta are 0.
    STN_DEVICE void keep_basis(const float* row) {
        if (a_.k % 4 == 0 && reinterpret_cast<uintptr_t>(from_.basis) % 16 == 0) {
            STN_UNROLL
            for (int k = 0; k < kKept; k += 4) {
                float4 four = {0.f, 0.f, 0.f, 0.f};
                if (k < a_.k) four = __ldg(reinterpret_cast<const float4*>(row + k));
                basis_[k] = four.x;
                basis_[k + 1] = four.y;
                basis_[k + 2] = four.z;
                basis_[k + 3] = four.w;
            }
        } else {
            STN_UNROLL
            for (int k = 0; k < kKept; ++k) basis_[k] = k < a_.k ? __ldg(row + k) : 0.f;
        }
    }

    // Image n goes to the last place, and those that follow to the places before it: `ready_` counts down.
    STN_DEVICE void prepare(int64_t n) {
        ready_ = many_ ? kImagesOfMany : kImages;
        __syncthreads();  // all have read what was there
        STN_ROLLED
        for (int i = threadIdx.x; i < ready_ * axes; i += kThreads) {
            const int64_t image = image_at(i / axes, n);
            const int which = i % axes;
            if (image < a_.n) {
                const float extent = from_.extents ? __ldg(from_.extents + image * axes + axes - 1 - which) : 1.f;
                int32_t size = a_.size[0];
                STN_UNROLL
                for (int other = 1; other < axes; ++other) size = which == other ? a_.size[other] : size;
                shared_.axis[i / axes][which] = Axis(valid_pixels(extent, size), a_.align_corners);
            }
        }
        if (many_) {
            sum_many(n);
        } else {
            stage_theta(n);
        }
        __syncthreads();
    }

    STN_DEVICE int64_t image_at(int place, int64_t n) const { return n + (ready_ - 1 - place) * share_.step; }

    STN_DEVICE void stage_theta(int64_t n) {
        const int32_t columns = a_.columns(), count = a_.k * columns;
        STN_ROLLED
        for (int i = threadIdx.x; i < kImages * kRow; i += kThreads) {
            const int64_t image = image_at(i / kRow, n);
            const int to = i % kRow, divisor = to - kKept * axes;  // (K, axes), then (K)
            const int k = divisor < 0 ? to / axes : divisor, column = divisor < 0 ? to % axes : axes;
            const bool there = k < a_.k && column < columns && image < a_.n;
            shared_.kept.theta[i / kRow][to] = there ? __ldg(from_.theta + image * count + k * columns + column) : 0.f;
        }
    }

    // Affine and projective transforms have up to 4 rows of theta, splines mostly 20: few tests are enough.
    STN_DEVICE void sum(float (&coordinates)[axes], float* divisor, const float* theta) const {
        STN_UNROLL
        for (int axis = 0; axis < axes; ++axis) coordinates[axis] = 0.f;
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
        STN_UNROLL
        for (int k = first; k < end; k += 4) {
            float rows[4 * axes];
            STN_UNROLL
            for (int i = 0; i < axes; ++i) {
                const float4 four = reinterpret_cast<const float4*>(theta + k * axes)[i];
                rows[4 * i] = four.x;
                rows[4 * i + 1] = four.y;
                rows[4 * i + 2] = four.z;
                rows[4 * i + 3] = four.w;
            }
            STN_UNROLL
            for (int i = 0; i < 4 * axes; ++i) {
                coordinates[i % axes] = fmaf(basis_[k + i / axes], rows[i], coordinates[i % axes]);
            }
        }
    }

    template <int first, int end>
    STN_DEVICE void add_divisors(float* divisor, const float* theta) const {
        STN_UNROLL
        for (int k = first; k < end; k += 4) {
            const float4 four = *reinterpret_cast<const float4*>(theta + kKept * axes + k);
            *divisor = fmaf(basis_[k], four.x, *divisor);
            *divisor = fmaf(basis_[k + 1], four.y, *divisor);
            *divisor = fmaf(basis_[k + 2], four.z, *divisor);
            *divisor = fmaf(basis_[k + 3], four.w, *divisor);
        }
    }

    // More of K than registers hold: the basis comes through shared memory as well, and some images share a look
    // at it; their sums then wait there.
    STN_DEVICE void sum_many(int64_t n) {
        Many& many = shared_.many;
        float sums[kImagesOfMany][axes + 1] = {};
        STN_ROLLED
        for (int32_t k = 0; k < a_.k; k += kColumns) {
            __syncthreads();
            stage_many(k, n);
            __syncthreads();
            STN_ROLLED
            for (int i = 0; i < kColumns; ++i) {
                const float weight = many.basis[i][threadIdx.x];
                STN_UNROLL
                for (int image = 0; image < kImagesOfMany; ++image) {
                    STN_UNROLL
                    for (int column = 0; column <= axes; ++column) {
                        sums[image][column] = fmaf(weight, many.theta[image][i][column], sums[image][column]);
                    }
                }
            }
        }
        __syncthreads();
        STN_UNROLL
        for (int image = 0; image < kImagesOfMany; ++image) {
            STN_UNROLL
            for (int column = 0; column <= axes; ++column) many.sums[image][column][threadIdx.x] = sums[image][column];
        }
    }

    // Columns k to k + kColumns of the block's rows of the basis, and those rows of theta; 0 past the end of K.
    STN_DEVICE void stage_many(int32_t k, int64_t n) {
        STN_ROLLED
        for (int i = threadIdx.x; i < kColumns * kThreads; i += kThreads) {
            const int32_t row = smaller(share_.tile + i / kColumns, a_.points - 1), column = k + i % kColumns;
            shared_.many.basis[i % kColumns][i / kColumns] =
                column < a_.k ? __ldg(from_.basis + int64_t{row} * a_.k + column) : 0.f;
        }
        STN_ROLLED
        for (int i = threadIdx.x; i < kImagesOfMany * kColumns * (axes + 1); i += kThreads) {
            const int column = i % (axes + 1), row = i / (axes + 1) % kColumns, place = i / (axes + 1) / kColumns;
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
