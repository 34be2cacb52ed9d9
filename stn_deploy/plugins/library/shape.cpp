#include "shape.h"

#include <limits>

#include "refusal.h"

namespace stn_deploy {

std::string shown(nvinfer1::Dims const& shape) {
    std::string all = "(";
    for (int32_t axis = 0; axis < shape.nbDims; ++axis) {
        all += axis == 0 ? "" : ", ";
        all += shape.d[axis] == kUnknown ? "?" : std::to_string(shape.d[axis]);
    }
    return all + ")";
}

int64_t volume(nvinfer1::Dims const& shape, int32_t begin, int32_t end) {
    constexpr int64_t most = std::numeric_limits<int64_t>::max();
    int64_t product = 1;
    for (int32_t axis = begin; axis < end; ++axis) {
        int64_t const length = shape.d[axis];
        if (length < 0) return kUnknown;
        if (length == 0) return 0;
        product = product > most / length ? most : product * length;
    }
    return product;
}

void expect_shape(char const* input, nvinfer1::Dims const& got, std::initializer_list<Length> expected,
                  char const* why) {
    bool fits = got.nbDims == static_cast<int32_t>(expected.size());
    int32_t axis = 0;
    for (Length const& length : expected) {
        if (fits && length.value != kUnknown && got.d[axis] != kUnknown) fits = got.d[axis] == length.value;
        ++axis;
    }
    if (fits) return;  // and no text was made: this is on the way to every launch
    std::string lengths;
    for (Length const& length : expected) {
        lengths += lengths.empty() ? "" : ", ";
        lengths += length.value == kUnknown ? length.symbol : std::to_string(length.value);
    }
    refuse(nvinfer1::ErrorCode::kINVALID_ARGUMENT, input, ": expected (", lengths, "), got ", shown(got),
           "; ", why);
}

}  // namespace stn_deploy
