// For programs that only dlopen() their plugins: Triton, DeepStream, ONNX Runtime, Polygraphy, ctypes.
//
// Such a library must register itself while it is loaded; one that TensorRT loads must not, or TensorRT finds
// its creators there already and refuses it. So there are two: this one, when loaded, has the TensorRT of the
// process load the other one, which lies beside it.

#include <NvInferRuntime.h>
#include <dlfcn.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#define TEXT_OF(value) #value
#define TEXT(value) TEXT_OF(value)
#define MAJOR TEXT(NV_TENSORRT_MAJOR)

namespace {

constexpr char const* kPlugin = "libstn_deploy_plugin.so";
constexpr char const* kNone =
    "stn_deploy: autoload: expected TensorRT " MAJOR " in this process, found none; load it first, or build "
    "the plugin for the version that is there\n";
constexpr char const* kRuntimes[] = {"libnvinfer.so." MAJOR, "libnvinfer_lean.so." MAJOR,
                                     "libnvinfer_dispatch.so." MAJOR};

// The registry of the TensorRT that is loaded already; null where there is none of our major version.
nvinfer1::IPluginRegistry* registry() {
    for (char const* const name : kRuntimes) {
        void* const library = dlopen(name, RTLD_NOLOAD | RTLD_LAZY);
        if (library == nullptr) continue;
        auto const found =
            reinterpret_cast<nvinfer1::IPluginRegistry* (*)()>(dlsym(library, "getPluginRegistry"));
        dlclose(library);  // it stays: others have loaded it
        if (found != nullptr) return found();
    }
    return nullptr;
}

// Where this library lies, with a slash at the end.
std::string folder() {
    Dl_info info{};
    if (dladdr(kRuntimes, &info) == 0 || info.dli_fname == nullptr) return "";
    std::string const file = info.dli_fname;
    return file.substr(0, file.rfind('/') + 1);
}

// LD_PRELOAD puts us into every process that is started, most of which have nothing to do with TensorRT.
bool preloaded() {
    char const* const names = std::getenv("LD_PRELOAD");
    return names != nullptr && std::strstr(names, "libstn_deploy_plugin_autoload") != nullptr;
}

__attribute__((constructor)) void load() noexcept {
    try {
        nvinfer1::IPluginRegistry* const there = registry();
        if (there == nullptr) {
            if (!preloaded()) std::fputs(kNone, stderr);
            return;
        }
        std::string const plugin = folder() + kPlugin;
        if (there->loadLibrary(plugin.c_str()) == nullptr) {
            std::fprintf(stderr, "stn_deploy: autoload: TensorRT does not load %s, or has it already\n",
                         plugin.c_str());
        }
    } catch (std::exception const& error) {
        std::fprintf(stderr, "stn_deploy: autoload: %s\n", error.what());
    }
}

}  // namespace
