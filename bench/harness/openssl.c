/* OpenSSL through EVP, one packet after another, with what can be prepared prepared. */
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/core_names.h>
#include <openssl/provider.h>
#include <stdio.h>

#include "harness.h"

static EVP_CIPHER_CTX *ciphers[MAX_BATCH];	/* one, or one each where keys are mixed */
static EVP_MAC_CTX *mac;
static uint8_t salt[4];

static int
begin_cipher(const char *name, int key_len, int encrypt, int keys)
{
	EVP_CIPHER *c = EVP_CIPHER_fetch(NULL, name, NULL);
	int ok = c != NULL;

	for (int i = 0; ok && i < keys; i++) {
		uint8_t k[64];

		key(k, key_len, i);
		if (ciphers[i] == NULL)
			ciphers[i] = EVP_CIPHER_CTX_new();
		ok = EVP_CipherInit_ex2(ciphers[i], c, k, NULL, encrypt, NULL) == 1 &&
		    EVP_CIPHER_CTX_set_padding(ciphers[i], 0) == 1;
	}
	EVP_CIPHER_free(c);
	return ok ? 0 : -1;
}

static int
begin_hmac(const char *digest, int key_len)
{
	uint8_t k[64];
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)digest, 0),
		OSSL_PARAM_construct_end(),
	};
	EVP_MAC *m = EVP_MAC_fetch(NULL, "HMAC", NULL);

	EVP_MAC_CTX_free(mac);
	mac = EVP_MAC_CTX_new(m);
	EVP_MAC_free(m);
	key(k, key_len, 0);
	return mac != NULL && EVP_MAC_init(mac, k, (size_t)key_len, params) == 1 ? 0 : -1;
}

static void
cbc(EVP_CIPHER_CTX *c, uint8_t *data, int bytes, const uint8_t *iv)
{
	int n;

	EVP_CipherInit_ex2(c, NULL, NULL, iv, -1, NULL);
	EVP_CipherUpdate(c, data, &n, data, bytes);
}

static void
hmac(const uint8_t *from, size_t bytes, uint8_t *out, size_t icv)
{
	uint8_t sum[64];
	size_t n;

	EVP_MAC_init(mac, NULL, 0, NULL);	/* the same key again */
	EVP_MAC_update(mac, from, bytes);
	EVP_MAC_final(mac, sum, &n, sizeof sum);
	memcpy(out, sum, icv);
}

static int begin_des3(void) { return begin_cipher("DES-EDE3-CBC", 24, 1, 1); }
static int begin_des3_mixed(void) { return begin_cipher("DES-EDE3-CBC", 24, 1, MAX_BATCH); }
static int begin_undes3(void) { return begin_cipher("DES-EDE3-CBC", 24, 0, 1); }
static int begin_aes(void) { return begin_cipher("AES-128-CBC", 16, 1, 1); }
static int begin_unaes(void) { return begin_cipher("AES-128-CBC", 16, 0, 1); }
static int begin_sha1(void) { return begin_hmac("SHA1", 20); }
static int begin_sha256(void) { return begin_hmac("SHA256", 32); }
static int begin_des3_sha1(void) { return begin_des3() | begin_sha1(); }
static int begin_undes3_sha1(void) { return begin_undes3() | begin_sha1(); }
static int begin_aes_sha1(void) { return begin_aes() | begin_sha1(); }
static int begin_unaes_sha1(void) { return begin_unaes() | begin_sha1(); }

static int
begin_aead(const char *name, int key_len, int encrypt)
{
	uint8_t k[64];

	key(k, key_len + 4, 0);
	memcpy(salt, k + key_len, 4);
	return begin_cipher(name, key_len, encrypt, 1);
}

static int begin_gcm(void) { return begin_aead("AES-128-GCM", 16, 1); }
static int begin_ungcm(void) { return begin_aead("AES-128-GCM", 16, 0); }
static int begin_chacha(void) { return begin_aead("ChaCha20-Poly1305", 32, 1); }
static int begin_unchacha(void) { return begin_aead("ChaCha20-Poly1305", 32, 0); }

static void
once_cbc(int bytes, int batch)
{
	for (int i = 0; i < batch; i++)
		cbc(ciphers[0], packets[i].data, bytes, packets[i].iv);
}

static void
once_cbc_mixed(int bytes, int batch)
{
	for (int i = 0; i < batch; i++)
		cbc(ciphers[i], packets[i].data, bytes, packets[i].iv);
}

static void
once_sha1(int bytes, int batch)
{
	for (int i = 0; i < batch; i++)
		hmac(packets[i].data, (size_t)bytes, packets[i].data + bytes, 12);
}

static void
once_sha256(int bytes, int batch)
{
	for (int i = 0; i < batch; i++)
		hmac(packets[i].data, (size_t)bytes, packets[i].data + bytes, 16);
}

static void
seal(int bytes, int batch, int iv)
{
	for (int i = 0; i < batch; i++) {
		uint8_t *head = packets[i].data - iv - ESP_HEADER;

		cbc(ciphers[0], packets[i].data, bytes, packets[i].iv);
		hmac(head, (size_t)(ESP_HEADER + iv + bytes), packets[i].data + bytes, 12);
	}
}

static void
unseal(int bytes, int batch, int iv)
{
	for (int i = 0; i < batch; i++) {
		uint8_t *head = packets[i].data - iv - ESP_HEADER, icv[12];

		hmac(head, (size_t)(ESP_HEADER + iv + bytes), icv, 12);
		if (CRYPTO_memcmp(icv, packets[i].data + bytes, 12) == 0)
			cbc(ciphers[0], packets[i].data, bytes, head + ESP_HEADER);
	}
}

static void once_seal8(int bytes, int batch) { seal(bytes, batch, 8); }
static void once_seal16(int bytes, int batch) { seal(bytes, batch, 16); }
static void once_open8(int bytes, int batch) { unseal(bytes, batch, 8); }
static void once_open16(int bytes, int batch) { unseal(bytes, batch, 16); }

static void
aead(int bytes, int batch, int open)
{
	uint8_t nonce[12], rest[16];
	int n;

	memcpy(nonce, salt, 4);
	for (int i = 0; i < batch; i++) {
		uint8_t *data = packets[i].data;

		memcpy(nonce + 4, data - 8, 8);
		EVP_CipherInit_ex2(ciphers[0], NULL, NULL, nonce, -1, NULL);
		if (open)
			EVP_CIPHER_CTX_ctrl(ciphers[0], EVP_CTRL_AEAD_SET_TAG, 16, data + bytes);
		EVP_CipherUpdate(ciphers[0], NULL, &n, data - 8 - ESP_HEADER, ESP_HEADER);
		EVP_CipherUpdate(ciphers[0], data, &n, data, bytes);
		if (EVP_CipherFinal_ex(ciphers[0], rest, &n) != 1)
			memset(data, 0, (size_t)bytes);
		if (!open)
			EVP_CIPHER_CTX_ctrl(ciphers[0], EVP_CTRL_AEAD_GET_TAG, 16, data + bytes);
	}
}

static void once_aead(int bytes, int batch) { aead(bytes, batch, 0); }
static void once_unaead(int bytes, int batch) { aead(bytes, batch, 1); }

const struct work works[] = {
	{"3des-cbc-encrypt", .begin = begin_des3, .once = once_cbc},
	{"3des-cbc-encrypt-mixed", .begin = begin_des3_mixed, .once = once_cbc_mixed},
	{"3des-cbc-decrypt", .begin = begin_undes3, .once = once_cbc},
	{"aes-128-cbc-encrypt", .begin = begin_aes, .once = once_cbc},
	{"aes-128-cbc-decrypt", .begin = begin_unaes, .once = once_cbc},
	{"hmac-sha1", .icv = 12, .begin = begin_sha1, .once = once_sha1},
	{"hmac-sha256", .icv = 16, .begin = begin_sha256, .once = once_sha256},
	{"3des-sha1-seal", 8, 8, 12, .esp = 1, .begin = begin_des3_sha1, .once = once_seal8},
	{"3des-sha1-open", 8, 8, 12, .esp = 1, .open = 1, .begin = begin_undes3_sha1, .once = once_open8},
	{"aes128-sha1-seal", 16, 16, 12, .esp = 1, .begin = begin_aes_sha1, .once = once_seal16},
	{"aes128-sha1-open", 16, 16, 12, .esp = 1, .open = 1, .begin = begin_unaes_sha1, .once = once_open16},
	{"aes128gcm16-seal", 4, 8, 16, .esp = 1, .begin = begin_gcm, .once = once_aead},
	{"aes128gcm16-open", 4, 8, 16, .esp = 1, .open = 1, .begin = begin_ungcm, .once = once_unaead},
	{"chacha20poly1305-seal", 4, 8, 16, .esp = 1, .begin = begin_chacha, .once = once_aead},
	{"chacha20poly1305-open", 4, 8, 16, .esp = 1, .open = 1, .begin = begin_unchacha, .once = once_unaead},
	{NULL},
};

const char *
library_begin(const char *variant)
{
	(void)variant;
	if (begin_des3() != 0) {	/* a build that keeps 3DES apart */
		if (OSSL_PROVIDER_load(NULL, "legacy") == NULL || OSSL_PROVIDER_load(NULL, "default") == NULL || begin_des3() != 0) {
			fprintf(stderr, "OpenSSL has no 3DES, in its legacy provider neither\n");
			return NULL;
		}
	}
	return OpenSSL_version(OPENSSL_VERSION);
}
