#ifndef TOKENPRUNE_EXPORT_H
#define TOKENPRUNE_EXPORT_H

/*
 * Visibility and declaration macros. Everything is hidden unless it carries
 * TKP_API *and* is listed in the library's linker map.
 */

#if defined(__GNUC__) || defined(__clang__)
#    define TKP_API        __attribute__((visibility("default")))
#    define TKP_NODISCARD  __attribute__((warn_unused_result))
#    define TKP_DEPRECATED(text) __attribute__((deprecated(text)))
#else
#    define TKP_API
#    define TKP_NODISCARD
#    define TKP_DEPRECATED(text)
#endif

#ifdef __cplusplus
#    define TKP_BEGIN_DECLS extern "C" {
#    define TKP_END_DECLS   }
#else
#    define TKP_BEGIN_DECLS
#    define TKP_END_DECLS
#endif

#endif
