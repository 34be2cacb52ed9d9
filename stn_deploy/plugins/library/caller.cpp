#include "caller.h"

#include <dlfcn.h>

#include <atomic>
#include <memory>

#include "refusal.h"

namespace stn_deploy {
namespace {

using nvinfer1::ErrorCode;
using Registry = nvinfer1::IPluginRegistry* (*)();
using Version = int32_t (*)();

std::atomic<Registry> remembered{nullptr};

struct Close {
    void operator()(void* library) const noexcept { dlclose(library); }
};

template <typename Function>
Function function_of(void* library, char const* name) {
    return reinterpret_cast<Function>(dlsym(library, name));
}

// The encoding since 10.0: 10.15.1 is 101501. Older ones, and TensorRT-RTX, have no creators of this kind.
void expect_same_major(int32_t version, char const* file) {
    int32_t const major = version / 10000;
    if (major == NV_TENSORRT_MAJOR) return;
    char const* const fix = major < 10
                                ? "TensorRT 8, TensorRT 9 and TensorRT-RTX take no such plugins"
                                : "build it again with the headers of that version: stn-deploy plugin build";
    refuse(ErrorCode::kINVALID_STATE, "plugin library: expected TensorRT ", NV_TENSORRT_MAJOR,
           ", for which it was built, got version ", major, ".", version / 100 % 100, ".", version % 100,
           " (", file, "); ", fix);
}

}  // namespace

void remember_caller(void const* address) {
    Dl_info info{};
    if (dladdr(address, &info) == 0 || info.dli_fname == nullptr) return;
    // RTLD_NOLOAD finds what is there already; the caller lives at least as long as what it loads.
    std::unique_ptr<void, Close> const library(dlopen(info.dli_fname, RTLD_NOLOAD | RTLD_LAZY));
    if (!library) return;
    auto const version = function_of<Version>(library.get(), "getInferLibVersion");
    if (version == nullptr) return;
    expect_same_major(version(), info.dli_fname);
    remembered = function_of<Registry>(library.get(), "getPluginRegistry");
}

nvinfer1::IErrorRecorder* registry_recorder() noexcept {
    Registry const registry_of = remembered;
    nvinfer1::IPluginRegistry const* const registry = registry_of == nullptr ? nullptr : registry_of();
    return registry == nullptr ? nullptr : registry->getErrorRecorder();
}

}  // namespace stn_deploy
