package settings

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

const (
	// randomPassword is what NATS_PASSWORD may be.
	randomPassword = "random"
	// storeDir is STORE_DIR unless told otherwise, and where the other commands look
	// for urlFile.
	storeDir = ".sluice"
	// urlFile is where local keeps the URL of its NATS, with its password.
	urlFile = "nats.url"
	// mine is all that others may do with it: nothing.
	mine fs.FileMode = 0o600
	// maxURLBytes is the longest that is read of it.
	maxURLBytes = 4 << 10
)

// Password is NATS_PASSWORD, another one each time where it is random.
func (e *Embedded) Password() string {
	if e.NATSPassword == randomPassword {
		return rand.Text()
	}
	return e.NATSPassword
}

// KeepURL writes the URL of the embedded NATS where publisher and edge find it, if
// that has a password, until forget is called. What an earlier run has left goes.
func (e *Embedded) KeepURL(url string) (forget func(), err error) {
	file := filepath.Join(e.StoreDir, urlFile)
	if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("STORE_DIR: %w", err)
	}
	if e.NATSPassword == "" || url == "" {
		return func() {}, nil
	}
	// It must not be readable for a moment, nor be a file that another has made.
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mine)
	if err != nil {
		return nil, fmt.Errorf("STORE_DIR: %w", err)
	}
	_, err = f.WriteString(url + "\n")
	return func() { _ = os.Remove(file) }, errors.Join(err, f.Close())
}

// findURL is the URL that local keeps in this directory, "" where there is none.
func findURL() (string, error) {
	file := filepath.Join(storeDir, urlFile)
	info, err := os.Lstat(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", nil
	case err != nil:
		return "", err
	case !info.Mode().IsRegular() || info.Mode().Perm()&^mine != 0 || !ownedByUser(info) || info.Size() > maxURLBytes:
		return "", fmt.Errorf("%s is not a file of this user alone (mode 0600), and is not read: remove it, or set NATS_URL", file)
	}
	text, err := os.ReadFile(file)
	return strings.TrimSpace(string(text)), err
}
