/* SPDX-License-Identifier: BSD-2-Clause */
/* A cipher for the Ultravisor (stage2/uv.h) on OpenSSL's libcrypto: needs an operating system. */
#ifndef STAGE2_UV_OPENSSL_H
#define STAGE2_UV_OPENSSL_H

#include <stage2/uv.h>

#ifdef __cplusplus
extern "C" {
#endif

struct s2_uv_openssl;

/* NULL if there is no memory, or if libcrypto has no AES-256-GCM, AES-256-XTS and SHA-256. */
struct s2_uv_openssl *s2_uv_openssl_new(void);
void s2_uv_openssl_free(struct s2_uv_openssl *openssl);

/* One call at a time, as with the Ultravisor itself. */
const struct s2_uv_cipher *s2_uv_openssl_cipher(const struct s2_uv_openssl *openssl);

/* For struct s2_uv_ops; the cookie is not used. */
bool s2_uv_openssl_random(void *cookie, void *out, size_t len);

#ifdef __cplusplus
}
#endif
#endif
