// The layer of a network: thin, and without a state that changes, so that several threads may run one.
#pragma once

#include <NvInferRuntime.h>

#include <string>

#include "inputs.h"
#include "settings.h"

namespace stn_deploy {

constexpr char const* kNamespace = "stn_deploy";
constexpr char const* kVersion = "1";

class SamplePlugin final : public nvinfer1::IPluginV3,
                           public nvinfer1::IPluginV3OneCore,
                           public nvinfer1::IPluginV3OneBuild,
                           public nvinfer1::IPluginV3OneRuntime {
public:
    explicit SamplePlugin(Settings const& settings, nvinfer1::IPluginResourceContext* context = nullptr);

    // IPluginV3
    nvinfer1::IPluginCapability* getCapabilityInterface(
        nvinfer1::PluginCapabilityType type) noexcept override;
    nvinfer1::IPluginV3* clone() noexcept override;

    // IPluginV3OneCore
    char const* getPluginName() const noexcept override;
    char const* getPluginVersion() const noexcept override;
    char const* getPluginNamespace() const noexcept override;

    // IPluginV3OneBuild
    int32_t getNbOutputs() const noexcept override;
    int32_t configurePlugin(nvinfer1::DynamicPluginTensorDesc const* in, int32_t inputs,
                            nvinfer1::DynamicPluginTensorDesc const* out, int32_t outputs) noexcept override;
    int32_t getOutputDataTypes(nvinfer1::DataType* output_types, int32_t outputs,
                               nvinfer1::DataType const* input_types, int32_t inputs) const noexcept override;
    int32_t getOutputShapes(nvinfer1::DimsExprs const* inputs, int32_t input_count,
                            nvinfer1::DimsExprs const* shape_inputs, int32_t shape_input_count,
                            nvinfer1::DimsExprs* outputs, int32_t output_count,
                            nvinfer1::IExprBuilder& builder) noexcept override;
    bool supportsFormatCombination(int32_t position, nvinfer1::DynamicPluginTensorDesc const* tensors,
                                   int32_t inputs, int32_t outputs) noexcept override;
    char const* getTimingCacheID() noexcept override;
    char const* getMetadataString() noexcept override;

    // IPluginV3OneRuntime
    int32_t onShapeChange(nvinfer1::PluginTensorDesc const* in, int32_t inputs,
                          nvinfer1::PluginTensorDesc const* out, int32_t outputs) noexcept override;
    int32_t enqueue(nvinfer1::PluginTensorDesc const* in, nvinfer1::PluginTensorDesc const* out,
                    void const* const* inputs, void* const* outputs, void* workspace,
                    cudaStream_t stream) noexcept override;
    nvinfer1::IPluginV3* attachToContext(nvinfer1::IPluginResourceContext* context) noexcept override;
    nvinfer1::PluginFieldCollection const* getFieldsToSerialize() noexcept override;

private:
    char const* name() const noexcept { return name_of(settings_.operation); }
    nvinfer1::IPluginV3* copy(nvinfer1::IPluginResourceContext* context) const noexcept;
    void launch(Call const& call, void const* const* inputs, void* output, cudaStream_t stream) const;

    Settings const settings_;
    Fields const fields_;
    std::string const summary_;
    nvinfer1::IPluginResourceContext* const context_;  // lives longer than the plugins attached to it
};

}  // namespace stn_deploy
