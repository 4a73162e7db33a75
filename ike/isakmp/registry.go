package isakmp

// The one DOI and the one situation of IPsec (RFC 2407, 4.2), and the protocols of proposals,
// notifications and deletes (RFC 2407, 4.4.1).
const (
	DOIIPsec              uint32 = 1
	SituationIdentityOnly uint32 = 1

	ProtocolISAKMP uint8 = 1
	ProtocolAH     uint8 = 2
	ProtocolESP    uint8 = 3

	// TransformKeyIKE is the only transform id of phase 1 (RFC 2407, 4.4.2).
	TransformKeyIKE uint8 = 1
)

// ExchangeType is the kind of exchange in the ISAKMP header (RFC 2408, 3.1; RFC 2409, Appendix A).
type ExchangeType uint8

// The exchanges.
const (
	BaseExchange       ExchangeType = 1  // base
	IdentityProtection ExchangeType = 2  // main mode
	AuthenticationOnly ExchangeType = 3  // authentication only
	Aggressive         ExchangeType = 4  // aggressive mode
	Informational      ExchangeType = 5  // informational
	Transaction        ExchangeType = 6  // transaction
	QuickMode          ExchangeType = 32 // quick mode
	NewGroupMode       ExchangeType = 33 // new group mode
)

// PayloadType is the type of a payload (RFC 2408, 3.1; RFC 3947).
type PayloadType uint8

// The payloads, printed in the notation of RFC 2408. Cisco routers of 2008 still send those of draft 01.
const (
	PayloadNone         PayloadType = 0   // none
	PayloadSA           PayloadType = 1   // SA
	PayloadProposal     PayloadType = 2   // P
	PayloadTransform    PayloadType = 3   // T
	PayloadKE           PayloadType = 4   // KE
	PayloadID           PayloadType = 5   // ID
	PayloadCert         PayloadType = 6   // CERT
	PayloadCertReq      PayloadType = 7   // CR
	PayloadHash         PayloadType = 8   // HASH
	PayloadSig          PayloadType = 9   // SIG
	PayloadNonce        PayloadType = 10  // NONCE
	PayloadNotification PayloadType = 11  // N
	PayloadDelete       PayloadType = 12  // D
	PayloadVendorID     PayloadType = 13  // VID
	PayloadAttributes   PayloadType = 14  // ATTR
	PayloadNATDDraft01  PayloadType = 15  // NAT-D (draft 01)
	PayloadNATOADraft01 PayloadType = 16  // NAT-OA (draft 01)
	PayloadNATD         PayloadType = 20  // NAT-D
	PayloadNATOA        PayloadType = 21  // NAT-OA
	PayloadNATDDraft    PayloadType = 130 // NAT-D (draft)
	PayloadNATOADraft   PayloadType = 131 // NAT-OA (draft)
)

// Private reports whether the type is one of the private ones, which isakmpd skips (RFC 2408, 3.1).
func (t PayloadType) Private() bool { return t >= 128 }

// Encryption is a phase 1 encryption algorithm (RFC 2409, Appendix A; RFC 3602).
type Encryption uint16

// The phase 1 encryption algorithms.
const (
	DESCBC       Encryption = 1 // des-cbc
	BlowfishCBC  Encryption = 3 // blowfish-cbc
	TripleDESCBC Encryption = 5 // 3des-cbc
	CASTCBC      Encryption = 6 // cast-cbc
	AESCBC       Encryption = 7 // aes-cbc
)

// Hash is a phase 1 hash algorithm (RFC 2409, Appendix A; RFC 4868).
type Hash uint16

// The phase 1 hashes; the prf is their HMAC.
const (
	MD5      Hash = 1 // md5
	SHA1     Hash = 2 // sha1
	Tiger    Hash = 3 // tiger
	SHA2_256 Hash = 4 // sha2-256
	SHA2_384 Hash = 5 // sha2-384
	SHA2_512 Hash = 6 // sha2-512
)

// AuthMethod is a phase 1 authentication method (RFC 2409, Appendix A).
type AuthMethod uint16

// The authentication methods. PreSharedKey is the only one of this engine.
const (
	PreSharedKey      AuthMethod = 1     // pre-shared key
	DSSSignature      AuthMethod = 2     // DSS signature
	RSASignature      AuthMethod = 3     // RSA signature
	RSAEncryption     AuthMethod = 4     // RSA encryption
	XAUTHPreSharedKey AuthMethod = 65001 // pre-shared key with XAUTH
)

// Group is a Diffie-Hellman group (RFC 2409, 6; RFC 3526). Zero is no group.
type Group uint16

// The MODP groups, and the curves that newer peers may offer.
const (
	NoGroup  Group = 0  // none
	MODP768  Group = 1  // modp768
	MODP1024 Group = 2  // modp1024
	MODP1536 Group = 5  // modp1536
	MODP2048 Group = 14 // modp2048
	MODP3072 Group = 15 // modp3072
	MODP4096 Group = 16 // modp4096
	MODP6144 Group = 17 // modp6144
	MODP8192 Group = 18 // modp8192
	ECP256   Group = 19 // ecp256
	ECP384   Group = 20 // ecp384
	ECP521   Group = 21 // ecp521
)

// LifeType is the unit of a life duration, the same in both phases (RFC 2407, 4.5; RFC 2409, Appendix A).
type LifeType uint16

// The units.
const (
	Seconds   LifeType = 1 // seconds
	Kilobytes LifeType = 2 // kilobytes
)

// IDType says what an ID payload holds (RFC 2407, 4.6.2.1).
type IDType uint8

// The identities.
const (
	IDIPv4Addr       IDType = 1  // IPV4_ADDR
	IDFQDN           IDType = 2  // FQDN
	IDUserFQDN       IDType = 3  // USER_FQDN
	IDIPv4AddrSubnet IDType = 4  // IPV4_ADDR_SUBNET
	IDIPv6Addr       IDType = 5  // IPV6_ADDR
	IDIPv6AddrSubnet IDType = 6  // IPV6_ADDR_SUBNET
	IDIPv4AddrRange  IDType = 7  // IPV4_ADDR_RANGE
	IDIPv6AddrRange  IDType = 8  // IPV6_ADDR_RANGE
	IDDERASN1DN      IDType = 9  // DER_ASN1_DN
	IDDERASN1GN      IDType = 10 // DER_ASN1_GN
	IDKeyID          IDType = 11 // KEY_ID
)

// ESPTransform is a phase 2 ESP transform (RFC 2407, 4.4.4; RFC 3602; RFC 4106).
type ESPTransform uint8

// The ESP transforms.
const (
	ESPDES      ESPTransform = 2  // des
	ESP3DES     ESPTransform = 3  // 3des
	ESPCAST     ESPTransform = 6  // cast
	ESPBlowfish ESPTransform = 7  // blowfish
	ESPNull     ESPTransform = 11 // null
	ESPAES      ESPTransform = 12 // aes
	ESPAESCTR   ESPTransform = 13 // aes-ctr
	ESPAESGCM8  ESPTransform = 18 // aes-gcm-8
	ESPAESGCM12 ESPTransform = 19 // aes-gcm-12
	ESPAESGCM16 ESPTransform = 20 // aes-gcm-16
)

// AuthAlgorithm is the phase 2 integrity attribute (RFC 2407, 4.5; RFC 4868).
type AuthAlgorithm uint16

// The integrity algorithms. Zero, for AES-GCM, is no attribute.
const (
	NoAuth       AuthAlgorithm = 0 // none
	HMACMD5      AuthAlgorithm = 1 // hmac-md5
	HMACSHA      AuthAlgorithm = 2 // hmac-sha1
	HMACSHA2_256 AuthAlgorithm = 5 // hmac-sha2-256
	HMACSHA2_384 AuthAlgorithm = 6 // hmac-sha2-384
	HMACSHA2_512 AuthAlgorithm = 7 // hmac-sha2-512
)

// EncapsulationMode is the phase 2 attribute of that name (RFC 2407, 4.5; RFC 3947).
type EncapsulationMode uint16

// The modes.
const (
	Tunnel            EncapsulationMode = 1     // tunnel
	Transport         EncapsulationMode = 2     // transport
	UDPTunnel         EncapsulationMode = 3     // udp-encap-tunnel
	UDPTransport      EncapsulationMode = 4     // udp-encap-transport
	UDPTunnelDraft    EncapsulationMode = 61443 // udp-encap-tunnel (draft)
	UDPTransportDraft EncapsulationMode = 61444 // udp-encap-transport (draft)
)

// NotifyType is the message type of a Notification payload (RFC 2408, 3.14.1; RFC 2407, 4.6.3; RFC 3706).
type NotifyType uint16

// The notifications.
const (
	InvalidPayloadType     NotifyType = 1     // INVALID-PAYLOAD-TYPE
	DOINotSupported        NotifyType = 2     // DOI-NOT-SUPPORTED
	SituationNotSupported  NotifyType = 3     // SITUATION-NOT-SUPPORTED
	InvalidCookie          NotifyType = 4     // INVALID-COOKIE
	InvalidMajorVersion    NotifyType = 5     // INVALID-MAJOR-VERSION
	InvalidMinorVersion    NotifyType = 6     // INVALID-MINOR-VERSION
	InvalidExchangeType    NotifyType = 7     // INVALID-EXCHANGE-TYPE
	InvalidFlags           NotifyType = 8     // INVALID-FLAGS
	InvalidMessageID       NotifyType = 9     // INVALID-MESSAGE-ID
	InvalidProtocolID      NotifyType = 10    // INVALID-PROTOCOL-ID
	InvalidSPI             NotifyType = 11    // INVALID-SPI
	InvalidTransformID     NotifyType = 12    // INVALID-TRANSFORM-ID
	AttributesNotSupported NotifyType = 13    // ATTRIBUTES-NOT-SUPPORTED
	NoProposalChosen       NotifyType = 14    // NO-PROPOSAL-CHOSEN
	BadProposalSyntax      NotifyType = 15    // BAD-PROPOSAL-SYNTAX
	PayloadMalformed       NotifyType = 16    // PAYLOAD-MALFORMED
	InvalidKeyInformation  NotifyType = 17    // INVALID-KEY-INFORMATION
	InvalidIDInformation   NotifyType = 18    // INVALID-ID-INFORMATION
	InvalidCertEncoding    NotifyType = 19    // INVALID-CERT-ENCODING
	InvalidCertificate     NotifyType = 20    // INVALID-CERTIFICATE
	CertTypeUnsupported    NotifyType = 21    // CERT-TYPE-UNSUPPORTED
	InvalidCertAuthority   NotifyType = 22    // INVALID-CERT-AUTHORITY
	InvalidHashInformation NotifyType = 23    // INVALID-HASH-INFORMATION
	AuthenticationFailed   NotifyType = 24    // AUTHENTICATION-FAILED
	InvalidSignature       NotifyType = 25    // INVALID-SIGNATURE
	AddressNotification    NotifyType = 26    // ADDRESS-NOTIFICATION
	NotifySALifetime       NotifyType = 27    // NOTIFY-SA-LIFETIME
	CertificateUnavailable NotifyType = 28    // CERTIFICATE-UNAVAILABLE
	UnsupportedExchange    NotifyType = 29    // UNSUPPORTED-EXCHANGE-TYPE
	UnequalPayloadLengths  NotifyType = 30    // UNEQUAL-PAYLOAD-LENGTHS
	Connected              NotifyType = 16384 // CONNECTED
	ResponderLifetime      NotifyType = 24576 // RESPONDER-LIFETIME
	ReplayStatus           NotifyType = 24577 // REPLAY-STATUS
	InitialContact         NotifyType = 24578 // INITIAL-CONTACT
	RUThere                NotifyType = 36136 // R-U-THERE
	RUThereAck             NotifyType = 36137 // R-U-THERE-ACK
	NHTBInform             NotifyType = 40001 // NHTB-INFORM
)

// IsError reports whether the type is one of the error types (RFC 2408, 3.14.1).
func (t NotifyType) IsError() bool { return t > 0 && t < 8192 }
