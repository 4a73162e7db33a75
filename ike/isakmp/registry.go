package isakmp

// ExchangeType is the kind of exchange in the ISAKMP header (RFC 2408, 3.1; RFC 2409, Appendix A).
type ExchangeType uint8

// The exchanges.
const (
	IdentityProtection ExchangeType = 2 // main mode
	AuthenticationOnly ExchangeType = 3
	Aggressive         ExchangeType = 4
	Informational      ExchangeType = 5
	QuickMode          ExchangeType = 32
	NewGroupMode       ExchangeType = 33
)

// PayloadType is the type of a payload (RFC 2408, 3.1; RFC 3947).
type PayloadType uint8

// The payloads.
const (
	PayloadNone         PayloadType = 0
	PayloadSA           PayloadType = 1
	PayloadProposal     PayloadType = 2
	PayloadTransform    PayloadType = 3
	PayloadKE           PayloadType = 4
	PayloadID           PayloadType = 5
	PayloadCert         PayloadType = 6
	PayloadCertReq      PayloadType = 7
	PayloadHash         PayloadType = 8
	PayloadSig          PayloadType = 9
	PayloadNonce        PayloadType = 10
	PayloadNotification PayloadType = 11
	PayloadDelete       PayloadType = 12
	PayloadVendorID     PayloadType = 13
	PayloadNATD         PayloadType = 20  // RFC 3947
	PayloadNATOA        PayloadType = 21  // RFC 3947
	PayloadNATDDraft    PayloadType = 130 // draft-ietf-ipsec-nat-t-ike
	PayloadNATOADraft   PayloadType = 131
)

// Encryption is a phase 1 encryption algorithm (RFC 2409, Appendix A; RFC 3602).
type Encryption uint16

// The phase 1 encryption algorithms.
const (
	DESCBC       Encryption = 1
	TripleDESCBC Encryption = 5
	AESCBC       Encryption = 7
)

// Hash is a phase 1 hash algorithm (RFC 2409, Appendix A; RFC 4868).
type Hash uint16

// The phase 1 hashes; the prf is their HMAC.
const (
	MD5      Hash = 1
	SHA1     Hash = 2
	SHA2_256 Hash = 4
	SHA2_384 Hash = 5
	SHA2_512 Hash = 6
)

// AuthMethod is a phase 1 authentication method (RFC 2409, Appendix A).
type AuthMethod uint16

// PreSharedKey is the only method of this engine.
const PreSharedKey AuthMethod = 1

// Group is a Diffie-Hellman group (RFC 2409, 6; RFC 3526). Zero is no group.
type Group uint16

// The MODP groups.
const (
	NoGroup  Group = 0
	MODP768  Group = 1
	MODP1024 Group = 2
	MODP1536 Group = 5
	MODP2048 Group = 14
	MODP3072 Group = 15
	MODP4096 Group = 16
)

// IDType says what an ID payload holds (RFC 2407, 4.6.2.1).
type IDType uint8

// The identities.
const (
	IDIPv4Addr       IDType = 1
	IDFQDN           IDType = 2
	IDUserFQDN       IDType = 3
	IDIPv4AddrSubnet IDType = 4
	IDIPv4AddrRange  IDType = 7
	IDDERASN1DN      IDType = 9
	IDKeyID          IDType = 11
)

// ESPTransform is a phase 2 ESP transform (RFC 2407, 4.4.4; RFC 3602; RFC 4106).
type ESPTransform uint8

// The ESP transforms.
const (
	ESPDES      ESPTransform = 2
	ESP3DES     ESPTransform = 3
	ESPNull     ESPTransform = 11
	ESPAES      ESPTransform = 12
	ESPAESGCM16 ESPTransform = 20
)

// AuthAlgorithm is the phase 2 integrity attribute (RFC 2407, 4.5; RFC 4868).
type AuthAlgorithm uint16

// The integrity algorithms.
const (
	HMACMD5      AuthAlgorithm = 1
	HMACSHA      AuthAlgorithm = 2
	HMACSHA2_256 AuthAlgorithm = 5
	HMACSHA2_384 AuthAlgorithm = 6
	HMACSHA2_512 AuthAlgorithm = 7
)

// EncapsulationMode is the phase 2 attribute of that name (RFC 2407, 4.5; RFC 3947).
type EncapsulationMode uint16

// The modes.
const (
	Tunnel            EncapsulationMode = 1
	Transport         EncapsulationMode = 2
	UDPTunnel         EncapsulationMode = 3
	UDPTransport      EncapsulationMode = 4
	UDPTunnelDraft    EncapsulationMode = 61443
	UDPTransportDraft EncapsulationMode = 61444
)

// NotifyType is the message type of a Notification payload (RFC 2408, 3.14.1; RFC 2407, 4.6.3; RFC 3706).
type NotifyType uint16

// The notifications.
const (
	InvalidPayloadType     NotifyType = 1
	DOINotSupported        NotifyType = 2
	SituationNotSupported  NotifyType = 3
	InvalidCookie          NotifyType = 4
	InvalidMajorVersion    NotifyType = 5
	InvalidMinorVersion    NotifyType = 6
	InvalidExchangeType    NotifyType = 7
	InvalidFlags           NotifyType = 8
	InvalidMessageID       NotifyType = 9
	InvalidProtocolID      NotifyType = 10
	InvalidSPI             NotifyType = 11
	InvalidTransformID     NotifyType = 12
	AttributesNotSupported NotifyType = 13
	NoProposalChosen       NotifyType = 14
	BadProposalSyntax      NotifyType = 15
	PayloadMalformed       NotifyType = 16
	InvalidKeyInformation  NotifyType = 17
	InvalidIDInformation   NotifyType = 18
	InvalidCertEncoding    NotifyType = 19
	InvalidCertificate     NotifyType = 20
	CertTypeUnsupported    NotifyType = 21
	InvalidCertAuthority   NotifyType = 22
	InvalidHashInformation NotifyType = 23
	AuthenticationFailed   NotifyType = 24
	InvalidSignature       NotifyType = 25
	AddressNotification    NotifyType = 26
	NotifySALifetime       NotifyType = 27
	CertificateUnavailable NotifyType = 28
	UnsupportedExchange    NotifyType = 29
	UnequalPayloadLengths  NotifyType = 30
	Connected              NotifyType = 16384
	ResponderLifetime      NotifyType = 24576
	ReplayStatus           NotifyType = 24577
	InitialContact         NotifyType = 24578
	RUThere                NotifyType = 36136
	RUThereAck             NotifyType = 36137
	NHTBInform             NotifyType = 40001 // ScreenOS: the tunnel interface's address
)
