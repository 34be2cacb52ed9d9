// A program that is linked with TensorRT: names the plugins of version 3 that its registry knows.

#include <NvInferRuntime.h>

#include <cstdio>
#include <cstring>

extern "C" nvinfer1::IPluginRegistry* getPluginRegistry() noexcept;

int main() {
    int32_t count = 0;
    nvinfer1::IPluginCreatorInterface* const* const creators = getPluginRegistry()->getAllCreators(&count);
    for (int32_t index = 0; index < count; ++index) {
        if (std::strcmp(creators[index]->getInterfaceInfo().kind, "PLUGIN CREATOR_V3ONE") == 0) {
            std::puts(static_cast<nvinfer1::IPluginCreatorV3One*>(creators[index])->getPluginName());
        }
    }
}
