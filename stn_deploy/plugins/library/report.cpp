#include "report.h"

#include <array>
#include <cstdio>

#include "caller.h"

namespace stn_deploy {

void report(nvinfer1::ErrorCode code, char const* who, char const* message,
            nvinfer1::IPluginResourceContext const* context) noexcept {
    // On the stack: it must work where memory is short, too.
    std::array<char, 1024> line{};
    std::snprintf(line.data(), line.size(), "%s: %s", who, message);
    nvinfer1::IErrorRecorder* recorder = context == nullptr ? nullptr : context->getErrorRecorder();
    if (recorder == nullptr) recorder = registry_recorder();
    if (recorder != nullptr) {
        recorder->incRefCount();  // it may be taken off the registry, and go, while it is told
        recorder->reportError(code, line.data());
        recorder->decRefCount();
    } else {
        std::fprintf(stderr, "%s\n", line.data());
    }
}

}  // namespace stn_deploy
