// What the inputs of a node must look like, and what the kernel is told about them.
#pragma once

#include <NvInferRuntime.h>

#include "settings.h"

namespace stn_deploy {

// What the kernel is launched with.
struct Call {
    Sampling sampling;
    Lengths lengths;

    bool empty() const noexcept { return lengths.n == 0 || lengths.c == 0 || lengths.points == 0; }
};

// Names of the inputs, in their order; as many as there are.
struct Inputs {
    char const* const* names;
    int32_t count;
};
Inputs inputs_of(Operation operation);

// All of these throw Refusal: the message has the name of the input, what it should be, what it is, the fix.
void expect_counts(Operation operation, int32_t inputs, int32_t outputs);
void expect_types(Operation operation, nvinfer1::DataType const* types);
void expect_shapes(Settings const& settings, nvinfer1::Dims const* inputs);

// The same for tensors as they are, with an output of the shape and type that follow.
Call call_of(Settings const& settings, nvinfer1::PluginTensorDesc const* inputs,
             nvinfer1::PluginTensorDesc const& output);

// Whether a tensor may have the layout and type that `tensors[position]` asks for, given those before it.
bool takes(Settings const& settings, int32_t position, nvinfer1::DynamicPluginTensorDesc const* tensors);

}  // namespace stn_deploy
