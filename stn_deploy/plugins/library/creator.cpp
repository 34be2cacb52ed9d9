#include "creator.h"

#include <memory>

#include "plugin.h"
#include "report.h"

namespace stn_deploy {

SampleCreator::SampleCreator(Operation operation) : operation_(operation), fields_(operation) {}

nvinfer1::IPluginV3* SampleCreator::createPlugin(char const*, nvinfer1::PluginFieldCollection const* fields,
                                                 nvinfer1::TensorRTPhase) noexcept {
    std::unique_ptr<SamplePlugin> made;
    guarded(name_of(operation_), nullptr,
            [&] { made = std::make_unique<SamplePlugin>(Settings::from(operation_, fields)); });
    return made.release();
}

nvinfer1::PluginFieldCollection const* SampleCreator::getFieldNames() noexcept {
    return fields_.collection();
}
char const* SampleCreator::getPluginName() const noexcept { return name_of(operation_); }
char const* SampleCreator::getPluginVersion() const noexcept { return kVersion; }
char const* SampleCreator::getPluginNamespace() const noexcept { return kNamespace; }

}  // namespace stn_deploy
