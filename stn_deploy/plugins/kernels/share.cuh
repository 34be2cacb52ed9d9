// What a block has to do, and a thread of it: which positions, channels and images.
#pragma once

#include "taps.cuh"

namespace stn_deploy {
namespace tuned {

// The part of the work that falls to a block: see blocks_for in launch.h. Read off the grid, so that any
// number of blocks that holds every tile and group of channels is right.
struct Share {
    int32_t tile;   // its first position
    int32_t point;  // that of this thread; the last one again where there is none left
    bool inside;    // whether there is one
    int32_t first_channel, end_channel;
    int32_t images;  // how many, from first_image in steps
    int64_t first_image, step;

    template <int axes>
    STN_DEVICE explicit Share(const Arguments<axes>& a) {
        const uint32_t tiles = larger(ceil_div<uint32_t>(a.points, kPointsPerBlock), 1u);
        const uint32_t groups = larger(ceil_div<uint32_t>(a.c, kChannelsPerBlock), 1u);
        const uint32_t each = tiles * groups, rest = blockIdx.x % each;
        tile = static_cast<int32_t>(rest % tiles * kPointsPerBlock);
        inside = tile + threadIdx.x < static_cast<uint32_t>(a.points);
        point = inside ? tile + static_cast<int32_t>(threadIdx.x) : a.points - 1;
        first_channel = static_cast<int32_t>(rest / tiles * kChannelsPerBlock);
        end_channel = smaller(first_channel + kChannelsPerBlock, a.c);
        // Sets of blocks share out the images; blocks that do not make up a full set have none.
        const uint32_t sets = larger(gridDim.x / each, 1u), set = blockIdx.x / each;
        const bool some = set < sets && static_cast<int32_t>(set) < a.n && a.points > 0 && a.c > 0;
        images = some ? static_cast<int32_t>((a.n - 1 - set) / sets + 1) : 0;
        first_image = set;
        step = sets;
    }
};

// Elements from one image of a block to its next. They wait in shared memory, where the compiler leaves them:
// it would rather compute them anew for each image.
struct alignas(16) Steps {
    int64_t source, output;
};

// Where the position of a thread lies in one image.
template <int axes>
struct Place {
    float coordinates[axes];
    float divisor;  // what they have been divided by: 1 unless homogeneous
    Axis axis[axes];
};

// The positions of a thread, image after image: by next(place, images before this one).
template <int axes, class From>
class Positions;

}  // namespace tuned
}  // namespace stn_deploy
