#include "inputs.h"

#include <algorithm>
#include <array>
#include <limits>

#include "refusal.h"
#include "shape.h"

namespace stn_deploy {
namespace {

using nvinfer1::DataType;
using nvinfer1::Dims;
using nvinfer1::ErrorCode;
using nvinfer1::PluginTensorDesc;
using nvinfer1::TensorFormat;

constexpr auto kWrong = ErrorCode::kINVALID_ARGUMENT;
constexpr std::array<char const*, 4> kThetaInputs{"source", "basis", "theta", "extents"};
constexpr std::array<char const*, 2> kGivenInputs{"source", "grid"};
constexpr int32_t kVector = 8;  // channels that TensorRT pads to in kHWC8 and kDHWC8

bool samples(DataType type) {
    return type == DataType::kFLOAT || type == DataType::kHALF || type == DataType::kBF16;
}

char const* name_of(DataType type) {
    switch (type) {
        case DataType::kFLOAT: return "float32";
        case DataType::kHALF: return "float16";
        case DataType::kBF16: return "bfloat16";
        case DataType::kINT8: return "int8";
        case DataType::kINT32: return "int32";
        case DataType::kINT64: return "int64";
        case DataType::kUINT8: return "uint8";
        case DataType::kBOOL: return "bool";
        default: return "another type";
    }
}

Element element_of(DataType type) {
    if (type == DataType::kFLOAT) return Element::float32;
    return type == DataType::kHALF ? Element::float16 : Element::bfloat16;
}

TensorFormat channels_last(int32_t dimensions) {
    return dimensions == 2 ? TensorFormat::kHWC8 : TensorFormat::kDHWC8;
}

void expect_source(Dims const& source, int32_t dimensions, char const* why) {
    if (dimensions == 2) {
        expect_shape("source", source, {{"N"}, {"C"}, {"H"}, {"W"}}, why);
    } else {
        expect_shape("source", source, {{"N"}, {"C"}, {"D"}, {"H"}, {"W"}}, why);
    }
}

void expect_theta_shapes(Settings const& settings, Dims const* inputs) {
    Dims const &source = inputs[0], &basis = inputs[1], &theta = inputs[2];
    int32_t const dimensions = settings.output_size.nbDims;
    int64_t const points = volume(settings.output_size, 0, dimensions);
    expect_source(source, dimensions, "output_size has as many lengths as a channel of the source");
    expect_shape("basis", basis, {{"P", points}, {"K"}}, "it has a row for each position of output_size");
    expect_shape("theta", theta,
                 {{"N", source.d[0]}, {"K", basis.d[1]}, {"", dimensions + settings.homogeneous}},
                 settings.homogeneous
                     ? "each image has one, with K as in basis; the last column divides, as homogeneous is 1"
                     : "each image has one, with K as in basis; for homographies set homogeneous to 1");
    expect_shape("extents", inputs[3], {{"N", source.d[0]}, {"", dimensions}},
                 "each image has the valid fraction of each of its axes");
}

void expect_given_shapes(Settings const& settings, Dims const* inputs) {
    Dims const &source = inputs[0], &grid = inputs[1];
    int32_t const dimensions = source.nbDims == 5 ? 3 : 2;
    expect_source(source, dimensions, "images have four lengths, volumes (N, C, D, H, W) five");
    char const* const why = "it has a position for each pixel of the output, (x, y) or (x, y, z)";
    if (dimensions == 2) {
        expect_shape("grid", grid, {{"N", source.d[0]}, {"h"}, {"w"}, {"", 2}}, why);
    } else {
        expect_shape("grid", grid, {{"N", source.d[0]}, {"d"}, {"h"}, {"w"}, {"", 3}}, why);
    }
    if (dimensions == 3 && settings.interpolation == Interpolation::cubic) {
        refuse(kWrong, "interpolation: expected 0 (nearest) or 1 (linear) for a volume, got 2 (cubic)");
    }
}

// The kernel counts in 32 bits along each axis, and in 64 over all.
int32_t narrow(char const* input, Dims const& shape, int64_t length) {
    if (length < 0 || length > std::numeric_limits<int32_t>::max()) {
        refuse(kWrong, input, ": expected each length, and the number of positions, from 0 to 2^31 - 1, got ",
               shown(shape));
    }
    return static_cast<int32_t>(length);
}

Lengths lengths_of(Settings const& settings, PluginTensorDesc const* inputs) {
    Dims const &source = inputs[0].dims, &second = inputs[1].dims;
    bool const given = settings.operation == Operation::given_grid_sample;
    auto const length = [&](int32_t axis) { return narrow("source", source, source.d[axis]); };
    Lengths lengths;
    lengths.n = length(0);
    lengths.c = length(1);
    lengths.depth = source.nbDims == 5 ? length(2) : 1;
    lengths.height = length(source.nbDims - 2);
    lengths.width = length(source.nbDims - 1);
    lengths.k = given ? 0 : narrow("basis", second, second.d[1]);
    lengths.points = given ? narrow("grid", second, volume(second, 1, second.nbDims - 1))
                           : narrow("basis", second, second.d[0]);
    return lengths;
}

void expect_output(PluginTensorDesc const& output, PluginTensorDesc const* inputs, Settings const& settings) {
    Dims const& source = inputs[0].dims;
    Dims expected = source;
    for (int32_t axis = 2; axis < source.nbDims; ++axis) {
        bool const given = settings.operation == Operation::given_grid_sample;
        expected.d[axis] = given ? inputs[1].dims.d[axis - 1] : settings.output_size.d[axis - 2];
    }
    auto const same = std::equal(expected.d, expected.d + expected.nbDims, output.dims.d);
    if (output.dims.nbDims != expected.nbDims || !same) {
        refuse(kWrong, "output: expected ", shown(expected), ", got ", shown(output.dims),
               "; build the engine again");
    }
    if (output.type != inputs[0].type || output.format != inputs[0].format) {
        refuse(kWrong, "output: expected type and layout of the source, got others; build the engine again");
    }
}

}  // namespace

Inputs inputs_of(Operation operation) {
    if (operation == Operation::theta_grid_sample) return {kThetaInputs.data(), kThetaInputs.size()};
    return {kGivenInputs.data(), kGivenInputs.size()};
}

void expect_counts(Operation operation, int32_t inputs, int32_t outputs) {
    Inputs const expected = inputs_of(operation);
    if (inputs == expected.count && outputs == 1) return;
    std::string names = expected.names[0];
    for (int32_t index = 1; index < expected.count; ++index) names += text(", ", expected.names[index]);
    refuse(kWrong, "inputs: expected ", names, " and one output, got ", inputs, " and ", outputs);
}

void expect_types(Operation operation, DataType const* types) {
    Inputs const inputs = inputs_of(operation);
    if (!samples(types[0])) {
        refuse(kWrong, "source: expected float32, float16 or bfloat16, got ", name_of(types[0]), "; cast it");
    }
    for (int32_t index = 1; index < inputs.count; ++index) {
        if (types[index] != DataType::kFLOAT) {
            refuse(kWrong, inputs.names[index], ": expected float32, whatever the type of the source, got ",
                   name_of(types[index]), "; cast it");
        }
    }
}

void expect_shapes(Settings const& settings, Dims const* inputs) {
    if (settings.operation == Operation::theta_grid_sample) {
        expect_theta_shapes(settings, inputs);
    } else {
        expect_given_shapes(settings, inputs);
    }
}

Call call_of(Settings const& settings, PluginTensorDesc const* inputs, PluginTensorDesc const& output) {
    Inputs const names = inputs_of(settings.operation);
    std::array<Dims, kThetaInputs.size()> shapes{};
    std::array<DataType, kThetaInputs.size()> types{};
    for (int32_t index = 0; index < names.count; ++index) {
        shapes[index] = inputs[index].dims;
        types[index] = inputs[index].type;
    }
    expect_types(settings.operation, types.data());
    expect_shapes(settings, shapes.data());
    expect_output(output, inputs, settings);

    Call call;
    call.lengths = lengths_of(settings, inputs);
    call.sampling.dimensions = shapes[0].nbDims - 2;
    call.sampling.interpolation = settings.interpolation;
    call.sampling.padding = settings.padding;
    call.sampling.align_corners = settings.align_corners;
    call.sampling.homogeneous = settings.homogeneous;
    call.sampling.element = element_of(types[0]);
    call.sampling.channels_last = inputs[0].format == channels_last(call.sampling.dimensions);
    if (!call.sampling.channels_last && inputs[0].format != TensorFormat::kLINEAR) {
        refuse(kWrong, "source: expected the layout kLINEAR, kHWC8 or kDHWC8, got number ",
               static_cast<int32_t>(inputs[0].format), "; build the engine again");
    }
    if (call.sampling.channels_last) {
        // Channels that fill up the last vector are sampled like all others: none looks at another one.
        int64_t const padded = (int64_t{call.lengths.c} + kVector - 1) / kVector * kVector;
        call.lengths.c = narrow("source", shapes[0], padded);
    }
    int64_t const pixels = volume(shapes[0], 2, shapes[0].nbDims);
    if (pixels == 0 && !call.empty()) {
        refuse(kWrong, "source: expected at least one pixel to sample from, got ", shown(shapes[0]));
    }
    return call;
}

bool takes(Settings const& settings, int32_t position, nvinfer1::DynamicPluginTensorDesc const* tensors) {
    PluginTensorDesc const &asked = tensors[position].desc, &source = tensors[0].desc;
    bool const linear = asked.format == TensorFormat::kLINEAR;
    if (position == 0) {
        if (asked.type == DataType::kFLOAT || linear) return linear && samples(asked.type);
        bool const given = settings.operation == Operation::given_grid_sample;
        int32_t const dimensions = given ? source.dims.nbDims - 2 : settings.output_size.nbDims;
        return samples(asked.type) && (dimensions == 2 || dimensions == 3) &&
               asked.format == channels_last(dimensions);
    }
    bool const output = position == inputs_of(settings.operation).count;
    if (output) return asked.type == source.type && asked.format == source.format;
    return linear && asked.type == DataType::kFLOAT;
}

}  // namespace stn_deploy
