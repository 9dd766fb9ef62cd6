package token

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"slices"
)

const (
	// MinSecretBytes is the shortest secret: as long as the hash of HS256
	// (RFC 7518, 3.2).
	MinSecretBytes = 32
	// minRSABits is the shortest RSA key (RFC 7518, 3.3).
	minRSABits = 2048
	// maxKeyFileBytes bounds the file of public keys.
	maxKeyFileBytes = 1 << 20
)

var (
	hmacMethods = []string{"HS256", "HS384", "HS512"}
	rsaMethods  = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}
	// curves are the algorithms of the elliptic curves (RFC 7518, 3.4).
	curves     = map[string]string{"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}
	allMethods = slices.Concat(hmacMethods, rsaMethods, []string{"ES256", "ES384", "ES512", "EdDSA"})
)

// key is one key and the algorithms that it may be used with.
type key struct {
	id       string // "" where keys have none
	material any
	methods  []string
}

func (k *key) allows(method string) bool { return slices.Contains(k.methods, method) }

// publicKey is the key of such material; only says which of its algorithms, "" for
// all.
func publicKey(id string, material any, only string) (key, error) {
	k := key{id: id, material: material}
	switch m := material.(type) {
	case *rsa.PublicKey:
		if m.N.BitLen() < minRSABits {
			return k, fmt.Errorf("an RSA key of %d bits, at least %d are wanted", m.N.BitLen(), minRSABits)
		}
		k.methods = rsaMethods
	case *ecdsa.PublicKey:
		method, ok := curves[m.Curve.Params().Name]
		if !ok {
			return k, fmt.Errorf("a key on the curve %s, P-256, P-384 or P-521 are wanted", m.Curve.Params().Name)
		}
		k.methods = []string{method}
	case ed25519.PublicKey:
		k.methods = []string{"EdDSA"}
	default:
		return k, fmt.Errorf("a key of the kind %T, RSA, ECDSA or Ed25519 are wanted", material)
	}
	if only != "" {
		if !k.allows(only) {
			return k, fmt.Errorf("its algorithm %q is not one of its kind", only)
		}
		k.methods = []string{only}
	}
	return k, nil
}

// fixed is keys that do not change.
type fixed []key

// find gives all keys: their tokens need no key id, and one that they have may be
// anything.
func (f fixed) find(context.Context, string) ([]key, error) { return f, nil }

func (fixed) run(ctx context.Context) { <-ctx.Done() }

func secret(text string) (fixed, error) {
	if len(text) < MinSecretBytes {
		return nil, fmt.Errorf("a secret of %d bytes, at least %d are wanted", len(text), MinSecretBytes)
	}
	return fixed{{material: []byte(text), methods: hmacMethods}}, nil
}

// readKeys reads the public keys and certificates of a PEM file.
func readKeys(file string) (fixed, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	if len(text) > maxKeyFileBytes {
		return nil, fmt.Errorf("%s is larger than %d bytes", file, maxKeyFileBytes)
	}
	var all fixed
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		material, err := decode(block)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		k, err := publicKey("", material, "")
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		all = append(all, k)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s has no public key in PEM", file)
	}
	return all, nil
}

func decode(block *pem.Block) (any, error) {
	switch block.Type {
	case "PUBLIC KEY":
		return x509.ParsePKIXPublicKey(block.Bytes)
	case "RSA PUBLIC KEY":
		return x509.ParsePKCS1PublicKey(block.Bytes)
	case "CERTIFICATE":
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		return cert.PublicKey, nil
	case "PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY":
		return nil, errors.New("it is a private key, which an edge must not have: give it the public key")
	}
	return nil, fmt.Errorf("a PEM block %q, PUBLIC KEY or CERTIFICATE are wanted", block.Type)
}
