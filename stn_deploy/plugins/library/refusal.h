// Why a plugin cannot do what it is asked: what, expected, got, and how to mend it. Never crosses the C ABI.
#pragma once

#include <NvInferRuntime.h>

#include <sstream>
#include <stdexcept>
#include <string>

namespace stn_deploy {

class Refusal : public std::runtime_error {
public:
    Refusal(nvinfer1::ErrorCode code, std::string const& message)
        : Refusal(code, static_cast<int32_t>(code), message) {}
    Refusal(nvinfer1::ErrorCode code, int32_t status, std::string const& message)
        : std::runtime_error(message), code_(code), status_(status) {}

    nvinfer1::ErrorCode code() const noexcept { return code_; }  // for the error recorder
    int32_t status() const noexcept { return status_; }          // what the refusing function returns; not 0

private:
    nvinfer1::ErrorCode code_;
    int32_t status_;
};

// All parts in one text.
template <typename... Parts>
std::string text(Parts const&... parts) {
    std::ostringstream all;
    (all << ... << parts);
    return all.str();
}

template <typename... Parts>
[[noreturn]] void refuse(nvinfer1::ErrorCode code, Parts const&... parts) {
    throw Refusal(code, text(parts...));
}

}  // namespace stn_deploy
