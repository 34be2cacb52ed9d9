#include "plugin.h"

#include <array>
#include <memory>

#include "../kernels/launch_cuda.h"
#include "refusal.h"
#include "report.h"
#include "shape.h"

namespace stn_deploy {
namespace {

using nvinfer1::DataType;
using nvinfer1::Dims;
using nvinfer1::DimsExprs;
using nvinfer1::DynamicPluginTensorDesc;
using nvinfer1::ErrorCode;
using nvinfer1::PluginTensorDesc;

constexpr auto kWrong = ErrorCode::kINVALID_ARGUMENT;
constexpr int32_t kMostInputs = 4;

void expect_there(char const* what, void const* pointer) {
    if (pointer == nullptr) refuse(kWrong, what, ": expected an address, got a null pointer");
}

// Lengths that are known while the network is built.
Dims known(DimsExprs const& shape) {
    Dims lengths{};
    lengths.nbDims = shape.nbDims;
    for (int32_t axis = 0; axis < shape.nbDims; ++axis) {
        nvinfer1::IDimensionExpr const* const length = shape.d[axis];
        lengths.d[axis] = length != nullptr && length->isConstant() ? length->getConstantValue() : kUnknown;
    }
    return lengths;
}

}  // namespace

SamplePlugin::SamplePlugin(Settings const& settings, nvinfer1::IPluginResourceContext* context)
    : settings_(settings), fields_(settings_), summary_(settings_.summary()), context_(context) {}

nvinfer1::IPluginCapability* SamplePlugin::getCapabilityInterface(
    nvinfer1::PluginCapabilityType type) noexcept {
    switch (type) {
        case nvinfer1::PluginCapabilityType::kCORE: return static_cast<IPluginV3OneCore*>(this);
        case nvinfer1::PluginCapabilityType::kBUILD: return static_cast<IPluginV3OneBuild*>(this);
        case nvinfer1::PluginCapabilityType::kRUNTIME: return static_cast<IPluginV3OneRuntime*>(this);
    }
    return nullptr;
}

nvinfer1::IPluginV3* SamplePlugin::clone() noexcept { return copy(context_); }

nvinfer1::IPluginV3* SamplePlugin::attachToContext(nvinfer1::IPluginResourceContext* context) noexcept {
    return copy(context);
}

nvinfer1::IPluginV3* SamplePlugin::copy(nvinfer1::IPluginResourceContext* context) const noexcept {
    std::unique_ptr<SamplePlugin> made;
    guarded(name(), context_, [&] { made = std::make_unique<SamplePlugin>(settings_, context); });
    return made.release();
}

char const* SamplePlugin::getPluginName() const noexcept { return name(); }
char const* SamplePlugin::getPluginVersion() const noexcept { return kVersion; }
char const* SamplePlugin::getPluginNamespace() const noexcept { return kNamespace; }
int32_t SamplePlugin::getNbOutputs() const noexcept { return 1; }
char const* SamplePlugin::getTimingCacheID() noexcept { return summary_.c_str(); }
char const* SamplePlugin::getMetadataString() noexcept { return summary_.c_str(); }
nvinfer1::PluginFieldCollection const* SamplePlugin::getFieldsToSerialize() noexcept {
    return fields_.collection();
}

int32_t SamplePlugin::getOutputDataTypes(DataType* output_types, int32_t outputs, DataType const* input_types,
                                         int32_t inputs) const noexcept {
    return guarded(name(), context_, [&] {
        expect_counts(settings_.operation, inputs, outputs);
        expect_there("input types", input_types);
        expect_there("output types", output_types);
        expect_types(settings_.operation, input_types);
        output_types[0] = input_types[0];
    });
}

int32_t SamplePlugin::getOutputShapes(DimsExprs const* inputs, int32_t input_count, DimsExprs const*, int32_t,
                                      DimsExprs* outputs, int32_t output_count,
                                      nvinfer1::IExprBuilder& builder) noexcept {
    return guarded(name(), context_, [&] {
        expect_counts(settings_.operation, input_count, output_count);
        expect_there("input shapes", inputs);
        expect_there("output shapes", outputs);
        std::array<Dims, kMostInputs> shapes{};
        for (int32_t index = 0; index < input_count; ++index) shapes[index] = known(inputs[index]);
        expect_shapes(settings_, shapes.data());

        DimsExprs output = inputs[0];
        for (int32_t axis = 2; axis < output.nbDims; ++axis) {
            bool const given = settings_.operation == Operation::given_grid_sample;
            output.d[axis] =
                given ? inputs[1].d[axis - 1] : builder.constant(settings_.output_size.d[axis - 2]);
        }
        outputs[0] = output;
    });
}

bool SamplePlugin::supportsFormatCombination(int32_t position, DynamicPluginTensorDesc const* tensors,
                                             int32_t inputs, int32_t outputs) noexcept {
    bool supported = false;
    guarded(name(), context_, [&] {
        expect_counts(settings_.operation, inputs, outputs);
        expect_there("tensors", tensors);
        supported = 0 <= position && position < inputs + outputs && takes(settings_, position, tensors);
    });
    return supported;
}

int32_t SamplePlugin::configurePlugin(DynamicPluginTensorDesc const* in, int32_t inputs,
                                      DynamicPluginTensorDesc const*, int32_t outputs) noexcept {
    return guarded(name(), context_, [&] {
        expect_counts(settings_.operation, inputs, outputs);
        expect_there("inputs", in);
        std::array<Dims, kMostInputs> shapes{};
        for (int32_t index = 0; index < inputs; ++index) shapes[index] = in[index].desc.dims;
        expect_shapes(settings_, shapes.data());
    });
}

int32_t SamplePlugin::onShapeChange(PluginTensorDesc const* in, int32_t inputs, PluginTensorDesc const* out,
                                    int32_t outputs) noexcept {
    return guarded(name(), context_, [&] {
        expect_counts(settings_.operation, inputs, outputs);
        expect_there("inputs", in);
        expect_there("outputs", out);
        call_of(settings_, in, out[0]);
    });
}

int32_t SamplePlugin::enqueue(PluginTensorDesc const* in, PluginTensorDesc const* out,
                              void const* const* inputs, void* const* outputs, void*,
                              cudaStream_t stream) noexcept {
    return guarded(name(), context_, [&] {
        expect_there("descriptions of the inputs", in);
        expect_there("descriptions of the outputs", out);
        // To look again costs some 50 ns, a fraction of a launch; an engine of another version is noticed.
        Call const call = call_of(settings_, in, out[0]);
        if (call.empty()) return;
        expect_there("inputs", inputs);
        expect_there("outputs", outputs);
        Inputs const names = inputs_of(settings_.operation);
        for (int32_t index = 0; index < names.count; ++index) expect_there(names.names[index], inputs[index]);
        expect_there("output", outputs[0]);
        launch(call, inputs, outputs[0], stream);
    });
}

void SamplePlugin::launch(Call const& call, void const* const* inputs, void* output,
                          cudaStream_t stream) const {
    auto const numbers = [&](int32_t index) { return static_cast<float const*>(inputs[index]); };
    cudaError_t const error =
        settings_.operation == Operation::theta_grid_sample
            ? launch_theta_grid_sample(call.sampling, call.lengths, inputs[0], numbers(1), numbers(2),
                                       numbers(3), output, stream)
            : launch_grid_sample(call.sampling, call.lengths, inputs[0], numbers(1), output, stream);
    if (error == cudaSuccess) return;
    char const* const fix = error == cudaErrorNoKernelImageForDevice
                                ? "; build the library for this GPU: stn-deploy plugin build"
                                : "";
    throw Refusal(ErrorCode::kFAILED_EXECUTION, error,
                  text("launch: ", cudaGetErrorName(error), ": ", cudaGetErrorString(error), fix));
}

}  // namespace stn_deploy
