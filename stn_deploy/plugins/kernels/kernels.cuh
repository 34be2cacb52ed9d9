// What the kernels are called and what they take: the order of TensorRT's ahead-of-time plugins, which is
// inputs, whole numbers, outputs. STN_THETA_GRID_SAMPLE(2, linear) defines the six kernels
// theta_grid_sample_2d_linear_*.
//
// Forward: U and V of one type, f32, f16 or bf16, (N, C, ...) or channels last. Backward: gradients in
// float32, added to what is there; null where one is not wanted.
#pragma once

#include "backward.cuh"
#include "forward.cuh"
#include "reference.cuh"

// Registers are shared out so that at least so many blocks fit on a multiprocessor.
#define STN_KERNEL(name, blocks) \
    extern "C" __global__ void __launch_bounds__(::stn_deploy::kThreads, blocks) name
#define STN_CANVAS int32_t n, int32_t c, int32_t depth, int32_t height, int32_t width
#define STN_TEMPLATE(axes, interpolation, Type) \
    axes, ::stn_deploy::Interpolation::interpolation, ::stn_deploy::Type

#define STN_THETA_KERNEL(name, room, axes, interpolation, Type, channels_last)                           \
    STN_KERNEL(name,                                                                                     \
               ::stn_deploy::blocks_of(axes, ::stn_deploy::Interpolation::interpolation, channels_last)) \
    (const void* STN_RESTRICT source, const float* STN_RESTRICT basis, const float* STN_RESTRICT theta,  \
     const float* STN_RESTRICT extents, STN_CANVAS, int32_t k, int32_t points, int32_t padding,          \
     int32_t align_corners, int32_t homogeneous, void* STN_RESTRICT output) {                            \
        room::forward<STN_TEMPLATE(axes, interpolation, Type), channels_last>(                           \
            source, ::stn_deploy::FromTheta{basis, theta, extents},                                      \
            ::stn_deploy::Arguments<axes>(n, c, depth, height, width, k, points, padding, align_corners, \
                                          homogeneous),                                                  \
            output);                                                                                     \
    }                                                                                                    \
    STN_REGISTER(name)

#define STN_GRID_KERNEL(name, room, axes, interpolation, Type, channels_last)                                \
    STN_KERNEL(name,                                                                                         \
               ::stn_deploy::blocks_of(axes, ::stn_deploy::Interpolation::interpolation, channels_last))     \
    (const void* STN_RESTRICT source, const float* STN_RESTRICT grid, STN_CANVAS, int32_t points,            \
     int32_t padding, int32_t align_corners, void* STN_RESTRICT output) {                                    \
        room::forward<STN_TEMPLATE(axes, interpolation, Type), channels_last>(                               \
            source, ::stn_deploy::FromGrid{grid},                                                            \
            ::stn_deploy::Arguments<axes>(n, c, depth, height, width, 0, points, padding, align_corners, 0), \
            output);                                                                                         \
    }                                                                                                        \
    STN_REGISTER(name)

#define STN_THETA_BACKWARD_KERNEL(name, room, axes, interpolation, Type)                                 \
    STN_KERNEL(name, 4)(const void* STN_RESTRICT source, const float* STN_RESTRICT basis,                \
                        const float* STN_RESTRICT theta, const float* STN_RESTRICT extents,              \
                        const void* STN_RESTRICT gradient, STN_CANVAS, int32_t k, int32_t points,        \
                        int32_t padding, int32_t align_corners, int32_t homogeneous,                     \
                        float* STN_RESTRICT source_gradient, float* STN_RESTRICT theta_gradient) {       \
        room::backward<STN_TEMPLATE(axes, interpolation, Type)>(                                         \
            source, ::stn_deploy::FromTheta{basis, theta, extents}, gradient,                            \
            ::stn_deploy::Arguments<axes>(n, c, depth, height, width, k, points, padding, align_corners, \
                                          homogeneous),                                                  \
            source_gradient, theta_gradient);                                                            \
    }                                                                                                    \
    STN_REGISTER(name)

#define STN_GRID_BACKWARD_KERNEL(name, room, axes, interpolation, Type)                                      \
    STN_KERNEL(name, 4)(const void* STN_RESTRICT source, const float* STN_RESTRICT grid,                     \
                        const void* STN_RESTRICT gradient, STN_CANVAS, int32_t points, int32_t padding,      \
                        int32_t align_corners, float* STN_RESTRICT source_gradient,                          \
                        float* STN_RESTRICT grid_gradient) {                                                 \
        room::backward<STN_TEMPLATE(axes, interpolation, Type)>(                                             \
            source, ::stn_deploy::FromGrid{grid}, gradient,                                                  \
            ::stn_deploy::Arguments<axes>(n, c, depth, height, width, 0, points, padding, align_corners, 0), \
            source_gradient, grid_gradient);                                                                 \
    }                                                                                                        \
    STN_REGISTER(name)

#define STN_EACH_TYPE_AND_LAYOUT(KERNEL, name, room, axes, interpolation)      \
    KERNEL(name##_f32, room, axes, interpolation, Float32, false)              \
    KERNEL(name##_f16, room, axes, interpolation, Float16, false)              \
    KERNEL(name##_bf16, room, axes, interpolation, BFloat16, false)            \
    KERNEL(name##_f32_channels_last, room, axes, interpolation, Float32, true) \
    KERNEL(name##_f16_channels_last, room, axes, interpolation, Float16, true) \
    KERNEL(name##_bf16_channels_last, room, axes, interpolation, BFloat16, true)

#define STN_EACH_TYPE(KERNEL, name, room, axes, interpolation) \
    KERNEL(name##_f32, room, axes, interpolation, Float32)     \
    KERNEL(name##_f16, room, axes, interpolation, Float16)     \
    KERNEL(name##_bf16, room, axes, interpolation, BFloat16)

#define STN_THETA_GRID_SAMPLE(axes, interpolation)                                          \
    STN_EACH_TYPE_AND_LAYOUT(STN_THETA_KERNEL, theta_grid_sample_##axes##d_##interpolation, \
                             ::stn_deploy::tuned, axes, interpolation)
#define STN_GRID_SAMPLE(axes, interpolation)                                                              \
    STN_EACH_TYPE_AND_LAYOUT(STN_GRID_KERNEL, grid_sample_##axes##d_##interpolation, ::stn_deploy::tuned, \
                             axes, interpolation)
#define STN_THETA_GRID_SAMPLE_BACKWARD(axes, interpolation)                                        \
    STN_EACH_TYPE(STN_THETA_BACKWARD_KERNEL, theta_grid_sample_backward_##axes##d_##interpolation, \
                  ::stn_deploy::tuned, axes, interpolation)
#define STN_GRID_SAMPLE_BACKWARD(axes, interpolation)                                       \
    STN_EACH_TYPE(STN_GRID_BACKWARD_KERNEL, grid_sample_backward_##axes##d_##interpolation, \
                  ::stn_deploy::tuned, axes, interpolation)

// The readable ones, reference_theta_grid_sample_2d_linear_f32 and so on, of all four operations.
#define STN_REFERENCE(axes, interpolation)                                                                   \
    STN_EACH_TYPE_AND_LAYOUT(STN_THETA_KERNEL, reference_theta_grid_sample_##axes##d_##interpolation,        \
                             ::stn_deploy::reference, axes, interpolation)                                   \
    STN_EACH_TYPE_AND_LAYOUT(STN_GRID_KERNEL, reference_grid_sample_##axes##d_##interpolation,               \
                             ::stn_deploy::reference, axes, interpolation)                                   \
    STN_EACH_TYPE(STN_THETA_BACKWARD_KERNEL, reference_theta_grid_sample_backward_##axes##d_##interpolation, \
                  ::stn_deploy::reference, axes, interpolation)                                              \
    STN_EACH_TYPE(STN_GRID_BACKWARD_KERNEL, reference_grid_sample_backward_##axes##d_##interpolation,        \
                  ::stn_deploy::reference, axes, interpolation)
