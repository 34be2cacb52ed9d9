// Positions that a grid (N, P, axes) gives. The next one is on its way while this one is sampled.
#pragma once

#include "share.cuh"

namespace stn_deploy {
namespace tuned {

template <int axes>
class Positions<axes, FromGrid> {
  public:
    struct Shared {};

    STN_DEVICE Positions(const FromGrid& from, const Arguments<axes>& a, const Share& share, Shared&)
        : a_(a),
          share_(share),
          step_(share.step * a.points * axes),
          grid_(from.grid + (share.first_image * a.points + share.point) * axes),
          paired_(axes == 2 && reinterpret_cast<uint64_t>(from.grid) % 8 == 0) {
        if (share.images > 0) fetch();
    }

    // In an image that comes after `done` others of this block.
    STN_DEVICE void next(Place<axes>& place, int32_t done) {
        STN_UNROLL for (int i = 0; i < axes; ++i) {
            place.coordinates[i] = fetched_[i];
            place.axis[i] = Axis(a_.size[i], a_.padding, a_.align_corners);
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
            STN_UNROLL for (int axis = 0; axis < axes; ++axis)
                fetched_[axis] = __ldg(grid_ + axis);
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

}  // namespace tuned
}  // namespace stn_deploy
