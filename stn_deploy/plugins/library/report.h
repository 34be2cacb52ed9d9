// Messages on their way to the user.
//
// TensorRT's logger is not called: its interface changed between 10 and 11, its error recorder's did not.
// Programs that registered a recorder get every message there; for all others it goes to standard error.
#pragma once

#include <NvInferRuntime.h>

#include <exception>
#include <new>

#include "refusal.h"

namespace stn_deploy {

// Tell the recorder of the execution context, else that of the plugin registry, else standard error.
void report(nvinfer1::ErrorCode code, char const* who, char const* message,
            nvinfer1::IPluginResourceContext const* context) noexcept;

// Run `body`, which may throw; what it throws is reported, and its status returned. 0: it went well.
template <typename Body>
int32_t guarded(char const* who, nvinfer1::IPluginResourceContext const* context, Body&& body) noexcept {
    using nvinfer1::ErrorCode;
    auto code = ErrorCode::kSUCCESS;
    try {
        body();
    } catch (Refusal const& refusal) {
        report(refusal.code(), who, refusal.what(), context);
        return refusal.status();
    } catch (std::bad_alloc const&) {
        code = ErrorCode::kFAILED_ALLOCATION;
        report(code, who, "host memory: there is not enough", context);
    } catch (std::exception const& error) {
        code = ErrorCode::kINTERNAL_ERROR;
        report(code, who, error.what(), context);
    }
    return static_cast<int32_t>(code);
}

}  // namespace stn_deploy
