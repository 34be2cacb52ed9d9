#include "settings.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <string_view>
#include <vector>

#include "refusal.h"
#include "shape.h"

namespace stn_deploy {
namespace {

using nvinfer1::ErrorCode;
using nvinfer1::PluginField;
using nvinfer1::PluginFieldCollection;
using nvinfer1::PluginFieldType;

constexpr auto kWrong = ErrorCode::kINVALID_ARGUMENT;
constexpr std::array<char const*, 5> kNames{"interpolation", "padding", "align_corners", "homogeneous",
                                            "output_size"};

// The last two are of theta_grid_sample alone.
constexpr size_t known_to(Operation operation) {
    return operation == Operation::theta_grid_sample ? kNames.size() : kNames.size() - 2;
}

// Copied byte by byte: what comes out of an engine need not be aligned.
template <typename Integer>
std::vector<int64_t> copied(PluginField const& field) {
    std::vector<Integer> numbers(static_cast<size_t>(field.length));
    if (field.length > 0) std::memcpy(numbers.data(), field.data, numbers.size() * sizeof(Integer));
    return {numbers.begin(), numbers.end()};
}

std::vector<int64_t> numbers_of(PluginField const& field) {
    if (field.length < 0 || (field.length > 0 && field.data == nullptr)) {
        refuse(kWrong, field.name, ": expected data, got a null pointer");
    }
    if (field.type == PluginFieldType::kINT32) return copied<int32_t>(field);
    if (field.type == PluginFieldType::kINT64) return copied<int64_t>(field);
    refuse(kWrong, field.name, ": expected integers, INT32 or INT64, got field type ",
           static_cast<int32_t>(field.type), "; modes are codes, not words");
}

// One number from 0 to `last`, which `meaning` explains.
int32_t code_of(PluginField const& field, int32_t last, char const* meaning) {
    std::vector<int64_t> const numbers = numbers_of(field);
    if (numbers.size() != 1) {
        refuse(kWrong, field.name, ": expected one integer, got ", numbers.size());
    }
    if (numbers[0] < 0 || numbers[0] > last) {
        refuse(kWrong, field.name, ": expected ", meaning, ", got ", numbers[0]);
    }
    return static_cast<int32_t>(numbers[0]);
}

nvinfer1::Dims output_size_of(PluginField const& field) {
    std::vector<int64_t> const numbers = numbers_of(field);
    if (numbers.size() != 2 && numbers.size() != 3) {
        refuse(kWrong, field.name, ": expected height and width, or depth, height and width, got ",
               numbers.size(), numbers.size() == 1 ? " integer" : " integers");
    }
    nvinfer1::Dims size{};
    size.nbDims = static_cast<int32_t>(numbers.size());
    std::copy(numbers.begin(), numbers.end(), size.d);
    constexpr int64_t most = std::numeric_limits<int32_t>::max();
    bool fits = volume(size, 0, size.nbDims) <= most;
    for (int64_t const length : numbers) fits = fits && length >= 0 && length <= most;
    if (!fits) {
        std::string listed;
        for (int64_t const length : numbers) listed += text(listed.empty() ? "" : ", ", length);
        refuse(kWrong, field.name, ": expected no negative length and fewer than 2^31 positions, got (",
               listed, ")");
    }
    return size;
}

std::string names_of(Operation operation) {
    std::string names = kNames[0];
    for (size_t index = 1; index < known_to(operation); ++index) names += text(", ", kNames[index]);
    return names;
}

void set(Settings& settings, PluginField const& field) {
    bool const theta = settings.operation == Operation::theta_grid_sample;
    std::string_view const name = field.name == nullptr ? "one without a name" : field.name;
    if (name == "interpolation") {
        settings.interpolation = Interpolation{code_of(field, 2, "0 (nearest), 1 (linear) or 2 (cubic)")};
    } else if (name == "padding") {
        settings.padding = Padding{code_of(field, 2, "0 (border), 1 (zeros) or 2 (reflection)")};
    } else if (name == "align_corners") {
        settings.align_corners = code_of(field, 1, "0 or 1") == 1;
    } else if (theta && name == "homogeneous") {
        settings.homogeneous = code_of(field, 1, "0 or 1") == 1;
    } else if (theta && name == "output_size") {
        settings.output_size = output_size_of(field);
    } else {
        refuse(kWrong, "fields: expected ", names_of(settings.operation), ", got ", name);
    }
}

}  // namespace

Settings Settings::from(Operation operation, PluginFieldCollection const* fields) {
    Settings settings;
    settings.operation = operation;
    if (fields == nullptr || fields->nbFields < 0 || (fields->nbFields > 0 && fields->fields == nullptr)) {
        refuse(kWrong, "fields: expected a collection, got a null pointer");
    }
    for (int32_t index = 0; index < fields->nbFields; ++index) set(settings, fields->fields[index]);
    if (operation == Operation::theta_grid_sample && settings.output_size.nbDims == 0) {
        refuse(kWrong,
               "output_size: expected height and width, or depth, height and width, got no such field");
    }
    if (settings.output_size.nbDims == 3 && settings.interpolation == Interpolation::cubic) {
        refuse(kWrong, "interpolation: expected 0 (nearest) or 1 (linear) for a volume, got 2 (cubic)");
    }
    return settings;
}

std::string Settings::summary() const {
    return text(name_of(operation), ",interpolation=", static_cast<int32_t>(interpolation),
                ",padding=", static_cast<int32_t>(padding), ",align_corners=", align_corners,
                ",homogeneous=", homogeneous, ",output_size=", shown(output_size));
}

Fields::Fields(Operation operation) { fill(operation, false, 0); }

Fields::Fields(Settings const& settings)
    : numbers_{static_cast<int32_t>(settings.interpolation), static_cast<int32_t>(settings.padding),
               settings.align_corners, settings.homogeneous} {
    int32_t const dimensions = settings.output_size.nbDims;
    for (int32_t axis = 0; axis < dimensions; ++axis) {
        output_size_[axis] = static_cast<int32_t>(settings.output_size.d[axis]);
    }
    fill(settings.operation, true, dimensions);
}

void Fields::fill(Operation operation, bool values, int32_t dimensions) {
    for (size_t index = 0; index < kNames.size(); ++index) {
        bool const list = index == kNames.size() - 1;
        int32_t const* const data = list ? output_size_.data() : &numbers_[index];
        fields_[index] = PluginField(kNames[index], values ? data : nullptr, PluginFieldType::kINT32,
                                     values && list ? dimensions : 1);
    }
    collection_.nbFields = static_cast<int32_t>(known_to(operation));
    collection_.fields = fields_.data();
}

}  // namespace stn_deploy
