// The two doors through which TensorRT enters, and what the file says about itself to those who only read it.

#include <NvInferRuntime.h>
#include <cuda_runtime_api.h>

#include <array>

#include "caller.h"
#include "creator.h"
#include "report.h"

static_assert(NV_TENSORRT_MAJOR >= 10,
              "expected headers of TensorRT 10 or newer: plugins of this kind begin there");

#ifndef STN_DEPLOY_ARCHITECTURES
#define STN_DEPLOY_ARCHITECTURES ""
#endif
#ifndef STN_DEPLOY_SOURCES
#define STN_DEPLOY_SOURCES ""
#endif
#define TEXT_OF(value) #value
#define TEXT(value) TEXT_OF(value)

#define MARKER                                                                                              \
    "stn_deploy plugin {\"format\": 1, \"tensorrt\": \"" TEXT(NV_TENSORRT_MAJOR) "." TEXT(NV_TENSORRT_MINOR)  \
    "." TEXT(NV_TENSORRT_PATCH) "\", \"cuda\": \"##.#\", \"architectures\": \"" STN_DEPLOY_ARCHITECTURES      \
    "\", \"sources\": \"" STN_DEPLOY_SOURCES "\"}"

namespace {

using Marker = std::array<char, sizeof MARKER>;

// CUDART_VERSION is 13000 for 13.0, which no preprocessor can spell as we want it.
constexpr Marker with_cuda_version() {
    char const text[] = MARKER;
    int32_t const digits[] = {CUDART_VERSION / 10000, CUDART_VERSION / 1000 % 10, CUDART_VERSION / 10 % 10};
    Marker filled{};
    size_t next = 0;
    for (size_t index = 0; index < filled.size(); ++index) {
        bool const blank = text[index] == '#' && next < 3;
        filled[index] = blank ? static_cast<char>('0' + digits[next++]) : text[index];
    }
    return filled;
}

// For those who read the file without loading it: marker.py.
__attribute__((used)) constexpr Marker marker = with_cuda_version();

}  // namespace

#define EXPORTED extern "C" __attribute__((visibility("default")))

EXPORTED nvinfer1::IPluginCreatorInterface* const* getCreators(int32_t& count) {
    using stn_deploy::Operation;
    static stn_deploy::SampleCreator theta(Operation::theta_grid_sample);
    static stn_deploy::SampleCreator given(Operation::given_grid_sample);
    static std::array<nvinfer1::IPluginCreatorInterface*, 2> const creators{&theta, &given};
    void const* const caller = __builtin_return_address(0);
    bool const refused =
        stn_deploy::guarded("stn_deploy", nullptr, [&] { stn_deploy::remember_caller(caller); }) != 0;
    count = refused ? 0 : static_cast<int32_t>(creators.size());
    return refused ? nullptr : creators.data();
}

// TensorRT looks for it, and offers a logger, which we leave alone: see report.h.
EXPORTED void setLoggerFinder(nvinfer1::ILoggerFinder*) {}
