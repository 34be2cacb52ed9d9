// V of U, tuned: each block steps through its images, each thread keeps its position of V.
#pragma once

#include "channels_last.cuh"
#include "grid_points.cuh"
#include "planar.cuh"
#include "theta_points.cuh"

namespace stn_deploy {
namespace tuned {

template <int axes, Interpolation interpolation, class Type, bool channels_last>
struct SamplerOf {
    using Choice = Planar<axes, interpolation, Type>;
};

template <int axes, Interpolation interpolation, class Type>
struct SamplerOf<axes, interpolation, Type, true> {
    using Choice = ChannelsLast<axes, interpolation, Type>;
};

template <int axes, Interpolation interpolation, class Type, bool channels_last, class From>
STN_DEVICE void forward(const void* source, const From& from, const Arguments<axes>& a, void* output) {
    using Points = Positions<axes, From>;
    using Sampler = typename SamplerOf<axes, interpolation, Type, channels_last>::Choice;
    STN_SHARED(typename Points::Shared, shared);
    STN_SHARED(Steps, steps);
    const Share share(a);
    Points positions(from, a, share, shared);
    if (threadIdx.x == 0) steps = {share.step * a.c * a.plane(), share.step * a.c * a.points};
    __syncthreads();
    Sampler sampler(source, output, a, share);
    STN_ROLLED for (int32_t done = 0; done < share.images; ++done) {
        Place<axes> place;
        positions.next(place, done);
        sampler.sample(place);
        sampler.step(steps);
    }
}

}  // namespace tuned
}  // namespace stn_deploy
