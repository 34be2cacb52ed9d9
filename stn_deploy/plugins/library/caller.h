// The TensorRT that loads this library, known by the address that it calls us from.
//
// We link no libnvinfer, so that one file serves the full, the lean and the dispatching runtime; what we need
// of the one that is there, we ask it for.
#pragma once

#include <NvInferRuntime.h>

namespace stn_deploy {

// Remember the library that `address` lies in. One that is no TensorRT, such as a test, is taken as it is.
//
// Throws Refusal: it is a TensorRT of another major version. Its tables of virtual functions are not those
// that we were compiled with: calling it would crash.
void remember_caller(void const* address);

// What the application has set on the plugin registry; null where it has set nothing.
nvinfer1::IErrorRecorder* registry_recorder() noexcept;

}  // namespace stn_deploy
