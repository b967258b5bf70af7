/* sanitizer - whether this build looks into itself, by means that a sandbox forbids (ptrace, /proc)
 */
#ifndef MXGATE_SANDBOX_SANITIZER_H
#define MXGATE_SANDBOX_SANITIZER_H

#include <stdbool.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define HAS_SANITIZER true
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(memory_sanitizer) ||                         \
    __has_feature(thread_sanitizer)
#define HAS_SANITIZER true
#endif
#endif
#ifndef HAS_SANITIZER
#define HAS_SANITIZER false
#endif

#endif
