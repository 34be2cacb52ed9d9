// The words of a command: lists of numbers, types, layouts and tensors.
#pragma once

#include <NvInferRuntime.h>

#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace harness {

inline std::vector<std::string> split(std::string const& all, char at) {
    std::vector<std::string> parts;
    std::istringstream stream(all);
    for (std::string part; std::getline(stream, part, at);) parts.push_back(part);
    return parts;
}

inline std::vector<int64_t> numbers(std::string const& all) {
    std::vector<int64_t> found;
    for (std::string const& word : split(all, ',')) found.push_back(std::stoll(word));
    return found;
}

template <typename Value>
using Names = std::vector<std::pair<char const*, Value>>;

using Type = nvinfer1::DataType;
inline Names<Type> const kTypes{
    {"f32", Type::kFLOAT}, {"f16", Type::kHALF},  {"bf16", Type::kBF16}, {"i8", Type::kINT8},
    {"i32", Type::kINT32}, {"i64", Type::kINT64}, {"u8", Type::kUINT8},
};

using Format = nvinfer1::TensorFormat;
inline Names<Format> const kFormats{
    {"linear", Format::kLINEAR}, {"hwc8", Format::kHWC8},   {"dhwc8", Format::kDHWC8},
    {"hwc", Format::kHWC},       {"dhwc", Format::kDHWC},   {"hwc16", Format::kHWC16},
    {"chw2", Format::kCHW2},     {"chw32", Format::kCHW32},
};

using Field = nvinfer1::PluginFieldType;
inline Names<Field> const kFields{
    {"INT32", Field::kINT32},
    {"INT64", Field::kINT64},
    {"FLOAT32", Field::kFLOAT32},
    {"CHAR", Field::kCHAR},
};

template <typename Value>
Value named(Names<Value> const& names, std::string const& word) {
    for (auto const& [name, value] : names) {
        if (word == name) return value;
    }
    throw std::invalid_argument("unknown word: " + word);
}

inline nvinfer1::Dims dims(std::string const& word) {
    nvinfer1::Dims shape{};
    for (int64_t const length : numbers(word)) shape.d[shape.nbDims++] = length;
    return shape;
}

// f16/linear/2,3,7,12;f32/linear/20,5
inline std::vector<nvinfer1::PluginTensorDesc> tensors(std::string const& all) {
    std::vector<nvinfer1::PluginTensorDesc> found;
    for (std::string const& word : split(all, ';')) {
        std::vector<std::string> const parts = split(word, '/');
        nvinfer1::PluginTensorDesc tensor{};
        tensor.type = named(kTypes, parts.at(0));
        tensor.format = named(kFormats, parts.at(1));
        if (parts.size() > 2) tensor.dims = dims(parts[2]);
        found.push_back(tensor);
    }
    return found;
}

inline std::string quoted(std::string const& words) {
    std::string all = "\"";
    for (char const letter : words) {
        if (letter == '"' || letter == '\\') all += '\\';
        all += letter == '\n' ? ' ' : letter;
    }
    return all + "\"";
}

template <typename Items, typename Shown>
std::string listed(Items const& items, Shown shown) {
    std::string all;
    for (auto const& item : items) all += (all.empty() ? "" : ", ") + shown(item);
    return "[" + all + "]";
}

}  // namespace harness
