// Shapes as TensorRT has them: -1 is a length that is not known yet.
#pragma once

#include <NvInferRuntime.h>

#include <initializer_list>
#include <string>

namespace stn_deploy {

constexpr int64_t kUnknown = -1;

// "(4, ?, 2)"
std::string shown(nvinfer1::Dims const& shape);

// Product of the lengths from `begin` to before `end`; saturates. kUnknown where one of them is not known.
int64_t volume(nvinfer1::Dims const& shape, int32_t begin, int32_t end);

// A length that an input must have: `value`; any where that is kUnknown, and messages have `symbol` for it.
struct Length {
    char const* symbol;
    int64_t value = kUnknown;
};

// Throws Refusal: number of lengths, or one that is known on both sides, differs. `why` ends the message.
void expect_shape(char const* input, nvinfer1::Dims const& got, std::initializer_list<Length> expected,
                  char const* why);

}  // namespace stn_deploy
