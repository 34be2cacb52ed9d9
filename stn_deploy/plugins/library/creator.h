// What the plugin registry asks for a plugin: one creator for each operation.
#pragma once

#include <NvInferRuntime.h>

#include "settings.h"

namespace stn_deploy {

class SampleCreator final : public nvinfer1::IPluginCreatorV3One {
public:
    explicit SampleCreator(Operation operation);

    // Null where the fields are refused. Both phases take the same fields, those of `getFieldsToSerialize`.
    nvinfer1::IPluginV3* createPlugin(char const* name, nvinfer1::PluginFieldCollection const* fields,
                                      nvinfer1::TensorRTPhase phase) noexcept override;
    nvinfer1::PluginFieldCollection const* getFieldNames() noexcept override;
    char const* getPluginName() const noexcept override;
    char const* getPluginVersion() const noexcept override;
    char const* getPluginNamespace() const noexcept override;

private:
    Operation const operation_;
    Fields const fields_;
};

}  // namespace stn_deploy
