// What TensorRT would hand to a plugin: an error recorder, a context, and lengths that are not known yet.
#pragma once

#include <NvInferRuntime.h>

#include <deque>
#include <string>
#include <vector>

namespace harness {

// Keeps what is reported.
class Recorder final : public nvinfer1::IErrorRecorder {
public:
    std::vector<std::string> take() {
        std::vector<std::string> taken;
        taken.swap(messages_);
        return taken;
    }

    int32_t getNbErrors() const noexcept override { return static_cast<int32_t>(messages_.size()); }
    nvinfer1::ErrorCode getErrorCode(int32_t) const noexcept override {
        return nvinfer1::ErrorCode::kUNSPECIFIED_ERROR;
    }
    ErrorDesc getErrorDesc(int32_t index) const noexcept override { return messages_.at(index).c_str(); }
    bool hasOverflowed() const noexcept override { return false; }
    void clear() noexcept override { messages_.clear(); }
    bool reportError(nvinfer1::ErrorCode code, ErrorDesc message) noexcept override {
        char const* const held = references_ == 1 ? " " : " to a recorder that nobody holds: ";
        messages_.push_back(std::to_string(static_cast<int32_t>(code)) + held + message);
        return false;
    }
    RefCount incRefCount() noexcept override { return ++references_; }
    RefCount decRefCount() noexcept override { return --references_; }

private:
    RefCount references_ = 0;
    std::vector<std::string> messages_;
};

class Context final : public nvinfer1::IPluginResourceContext {
public:
    explicit Context(Recorder& recorder) : recorder_(recorder) {}
    nvinfer1::IGpuAllocator* getGpuAllocator() const noexcept override { return nullptr; }
    nvinfer1::IErrorRecorder* getErrorRecorder() const noexcept override { return &recorder_; }

private:
    Recorder& recorder_;
};

// A length of an input: known, or only by its name.
class Length final : public nvinfer1::IDimensionExpr {
public:
    Length(std::string name, int64_t value) : answers_(value), name_(std::move(name)) { mImpl = &answers_; }
    std::string const& name() const { return name_; }

private:
    struct Answers final : nvinfer1::apiv::VDimensionExpr {
        explicit Answers(int64_t value) : value_(value) {}
        bool isConstant() const override { return value_ >= 0; }
        int64_t getConstantValue() const override { return value_; }
        bool isSizeTensor() const override { return false; }
        int64_t value_;
    };
    Answers answers_;
    std::string name_;
};

class Lengths final : public nvinfer1::IExprBuilder {
public:
    Lengths() : maker_(*this) { mImpl = &maker_; }
    Length const* add(std::string const& name, int64_t value) { return &all_.emplace_back(name, value); }

private:
    struct Maker final : nvinfer1::apiv::VExprBuilder {
        explicit Maker(Lengths& owner) : owner_(owner) {}
        nvinfer1::IDimensionExpr const* constant(int64_t value) override {
            return owner_.add(std::to_string(value), value);
        }
        nvinfer1::IDimensionExpr const* operation(nvinfer1::DimensionOperation,
                                                  nvinfer1::IDimensionExpr const&,
                                                  nvinfer1::IDimensionExpr const&) override {
            return nullptr;
        }
        nvinfer1::IDimensionExpr const* declareSizeTensor(int32_t, nvinfer1::IDimensionExpr const&,
                                                          nvinfer1::IDimensionExpr const&) override {
            return nullptr;
        }
        Lengths& owner_;
    };
    Maker maker_;
    std::deque<Length> all_;  // which never moves what it holds
};

}  // namespace harness
