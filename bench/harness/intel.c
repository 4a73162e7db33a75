/* Intel's multi-buffer library: a batch is submitted as jobs, and flushed where it does not fill the lanes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <intel-ipsec-mb.h>

#include "harness.h"

static IMB_MGR *mgr;
static uint64_t des[MAX_BATCH][3][16] __attribute__((aligned(64)));
static const void *schedules[MAX_BATCH][3];
static uint32_t enc[4 * 15] __attribute__((aligned(64))), dec[4 * 15] __attribute__((aligned(64)));
static uint8_t ipad[64] __attribute__((aligned(64))), opad[64] __attribute__((aligned(64)));
static struct gcm_key_data gcm __attribute__((aligned(64)));
static uint8_t chacha[32], salt[4];
static uint8_t nonces[MAX_BATCH][12];
static IMB_JOB job;	/* what the jobs of a work have in common */

static int
begin_des3_keys(int keys, IMB_CIPHER_DIRECTION direction)
{
	for (int i = 0; i < keys; i++) {
		uint8_t k[24];

		key(k, 24, i);
		for (int j = 0; j < 3; j++) {
			IMB_DES_KEYSCHED(mgr, des[i][j], k + 8 * j);
			schedules[i][j] = des[i][j];
		}
	}
	memset(&job, 0, sizeof job);
	job.cipher_mode = IMB_CIPHER_DES3;
	job.cipher_direction = direction;
	job.chain_order = IMB_ORDER_CIPHER_HASH;
	job.hash_alg = IMB_AUTH_NULL;
	job.key_len_in_bytes = 24;
	job.iv_len_in_bytes = 8;
	job.enc_keys = job.dec_keys = schedules[0];
	return 0;
}

static int begin_des3(void) { return begin_des3_keys(1, IMB_DIR_ENCRYPT); }
static int begin_des3_mixed(void) { return begin_des3_keys(MAX_BATCH, IMB_DIR_ENCRYPT); }
static int begin_undes3(void) { return begin_des3_keys(1, IMB_DIR_DECRYPT); }

static int
begin_aes_key(IMB_CIPHER_DIRECTION direction)
{
	uint8_t k[16];

	key(k, 16, 0);
	IMB_AES_KEYEXP_128(mgr, k, enc, dec);
	memset(&job, 0, sizeof job);
	job.cipher_mode = IMB_CIPHER_CBC;
	job.cipher_direction = direction;
	job.chain_order = IMB_ORDER_CIPHER_HASH;
	job.hash_alg = IMB_AUTH_NULL;
	job.key_len_in_bytes = 16;
	job.iv_len_in_bytes = 16;
	job.enc_keys = enc;
	job.dec_keys = dec;
	return 0;
}

static int begin_aes(void) { return begin_aes_key(IMB_DIR_ENCRYPT); }
static int begin_unaes(void) { return begin_aes_key(IMB_DIR_DECRYPT); }

/* with_hmac adds an HMAC to the job. */
static void
with_hmac(IMB_HASH_ALG alg, int key_len, uint64_t icv)
{
	uint8_t k[64], inner[64], outer[64];

	memset(k, 0, sizeof k);
	key(k, key_len, 0);
	for (int i = 0; i < 64; i++) {
		inner[i] = k[i] ^ 0x36;
		outer[i] = k[i] ^ 0x5c;
	}
	if (alg == IMB_AUTH_HMAC_SHA_1) {
		IMB_SHA1_ONE_BLOCK(mgr, inner, ipad);
		IMB_SHA1_ONE_BLOCK(mgr, outer, opad);
	} else {
		IMB_SHA256_ONE_BLOCK(mgr, inner, ipad);
		IMB_SHA256_ONE_BLOCK(mgr, outer, opad);
	}
	job.hash_alg = alg;
	job.u.HMAC._hashed_auth_key_xor_ipad = ipad;
	job.u.HMAC._hashed_auth_key_xor_opad = opad;
	job.auth_tag_output_len_in_bytes = icv;
}

static int
begin_hash(IMB_HASH_ALG alg, int key_len, uint64_t icv)
{
	memset(&job, 0, sizeof job);
	job.cipher_mode = IMB_CIPHER_NULL;
	job.cipher_direction = IMB_DIR_ENCRYPT;
	job.chain_order = IMB_ORDER_HASH_CIPHER;
	with_hmac(alg, key_len, icv);
	return 0;
}

static int begin_sha1(void) { return begin_hash(IMB_AUTH_HMAC_SHA_1, 20, 12); }
static int begin_sha256(void) { return begin_hash(IMB_AUTH_HMAC_SHA_256, 32, 16); }

static int
begin_des3_sha1(void)
{
	begin_des3();
	with_hmac(IMB_AUTH_HMAC_SHA_1, 20, 12);
	return 0;
}

static int
begin_aes_sha1(void)
{
	begin_aes();
	with_hmac(IMB_AUTH_HMAC_SHA_1, 20, 12);
	return 0;
}

static int
begin_aead(IMB_CIPHER_MODE mode, IMB_HASH_ALG alg, uint64_t key_len)
{
	uint8_t k[36];

	key(k, (int)key_len + 4, 0);
	memcpy(salt, k + key_len, 4);
	memset(&job, 0, sizeof job);
	job.cipher_mode = mode;
	job.hash_alg = alg;
	job.cipher_direction = IMB_DIR_ENCRYPT;
	job.chain_order = IMB_ORDER_CIPHER_HASH;
	job.key_len_in_bytes = key_len;
	job.iv_len_in_bytes = 12;
	job.auth_tag_output_len_in_bytes = 16;
	if (mode == IMB_CIPHER_GCM) {
		IMB_AES128_GCM_PRE(mgr, k, &gcm);
		job.enc_keys = job.dec_keys = &gcm;
		job.u.GCM.aad_len_in_bytes = ESP_HEADER;
	} else {
		memcpy(chacha, k, 32);
		job.enc_keys = job.dec_keys = chacha;
		job.u.CHACHA20_POLY1305.aad_len_in_bytes = ESP_HEADER;
	}
	for (int i = 0; i < MAX_BATCH; i++)
		memcpy(nonces[i], salt, 4);
	return 0;
}

static int begin_gcm(void) { return begin_aead(IMB_CIPHER_GCM, IMB_AUTH_AES_GMAC, 16); }
static int begin_chacha(void) { return begin_aead(IMB_CIPHER_CHACHA20_POLY1305, IMB_AUTH_CHACHA20_POLY1305, 32); }

/* submit hands one packet's job over. What comes back of others needs no more doing. */
static void
submit(struct packet *p, int bytes, const void *keys, const uint8_t *iv, int head)
{
	IMB_JOB *j = IMB_GET_NEXT_JOB(mgr);

	*j = job;
	j->src = p->data - head;
	j->dst = p->data;
	j->cipher_start_src_offset_in_bytes = (uint64_t)head;
	j->msg_len_to_cipher_in_bytes = job.cipher_mode == IMB_CIPHER_NULL ? 0 : (uint64_t)bytes;
	j->msg_len_to_hash_in_bytes = (uint64_t)(head + bytes);
	if (job.cipher_mode == IMB_CIPHER_GCM || job.cipher_mode == IMB_CIPHER_CHACHA20_POLY1305) {
		j->hash_start_src_offset_in_bytes = (uint64_t)head;
		j->msg_len_to_hash_in_bytes = (uint64_t)bytes;
		if (job.cipher_mode == IMB_CIPHER_GCM)
			j->u.GCM.aad = p->data - head;
		else
			j->u.CHACHA20_POLY1305.aad = p->data - head;
	}
	j->iv = iv;
	j->auth_tag_output = p->data + bytes;
	if (keys != NULL)
		j->enc_keys = j->dec_keys = keys;
	IMB_SUBMIT_JOB_NOCHECK(mgr);
}

static void
finish(void)
{
	while (IMB_FLUSH_JOB(mgr) != NULL)
		;
}

static void
once_plain(int bytes, int batch)
{
	for (int i = 0; i < batch; i++)
		submit(&packets[i], bytes, NULL, packets[i].iv, 0);
	finish();
}

static void
once_mixed(int bytes, int batch)
{
	for (int i = 0; i < batch; i++)
		submit(&packets[i], bytes, schedules[i], packets[i].iv, 0);
	finish();
}

static void
once_seal(int bytes, int batch)
{
	for (int i = 0; i < batch; i++)
		submit(&packets[i], bytes, NULL, packets[i].iv, ESP_HEADER + (int)job.iv_len_in_bytes);
	finish();
}

static void
once_aead(int bytes, int batch)
{
	for (int i = 0; i < batch; i++) {
		memcpy(nonces[i] + 4, packets[i].iv, 8);
		submit(&packets[i], bytes, NULL, nonces[i], ESP_HEADER + 8);
	}
	finish();
}

const struct work works[] = {
	{"3des-cbc-encrypt", .begin = begin_des3, .once = once_plain},
	{"3des-cbc-encrypt-mixed", .begin = begin_des3_mixed, .once = once_mixed},
	{"3des-cbc-decrypt", .begin = begin_undes3, .once = once_plain},
	{"aes-128-cbc-encrypt", .begin = begin_aes, .once = once_plain},
	{"aes-128-cbc-decrypt", .begin = begin_unaes, .once = once_plain},
	{"hmac-sha1", .icv = 12, .begin = begin_sha1, .once = once_plain},
	{"hmac-sha256", .icv = 16, .begin = begin_sha256, .once = once_plain},
	{"3des-sha1-seal", 8, 8, 12, .esp = 1, .begin = begin_des3_sha1, .once = once_seal},
	{"aes128-sha1-seal", 16, 16, 12, .esp = 1, .begin = begin_aes_sha1, .once = once_seal},
	{"aes128gcm16-seal", 4, 8, 16, .esp = 1, .begin = begin_gcm, .once = once_aead},
	{"chacha20poly1305-seal", 4, 8, 16, .esp = 1, .begin = begin_chacha, .once = once_aead},
	{NULL},
};

/* library_begin takes sse (where DES is scalar code), avx2 or avx512. */
const char *
library_begin(const char *variant)
{
	static char name[128];

	mgr = alloc_mb_mgr(0);
	if (mgr == NULL) {
		fprintf(stderr, "no memory\n");
		return NULL;
	}
	if (strcmp(variant, "sse") == 0)
		init_mb_mgr_sse(mgr);
	else if (strcmp(variant, "avx2") == 0 && (mgr->features & IMB_FEATURE_AVX2) != 0)
		init_mb_mgr_avx2(mgr);
	else if (strcmp(variant, "avx512") == 0 && (mgr->features & IMB_FEATURE_AVX512_SKX) == IMB_FEATURE_AVX512_SKX)
		init_mb_mgr_avx512(mgr);
	else {
		fprintf(stderr, "this processor has no %s\n", variant);
		return NULL;
	}
	if (imb_get_errno(mgr) != 0) {
		fprintf(stderr, "%s\n", imb_get_strerror(imb_get_errno(mgr)));
		return NULL;
	}
	snprintf(name, sizeof name, "intel-ipsec-mb %s, %s", imb_get_version_str(), variant);
	return name;
}
