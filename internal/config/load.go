package config

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// SettingError is a setting of the command line that cannot be taken.
type SettingError struct{ error }

// Unwrap returns the error in the configuration.
func (e SettingError) Unwrap() error { return e.error }

// ownEnvironment are TEITEN_ variables that are not configuration.
var ownEnvironment = []string{"TEITEN_CONFIG", "TEITEN_CORPUS", "TEITEN_TEST_DATABASE_URL"}

// Load reads the file (none if empty), the environment and the settings
// of the command line. Unknown names and bad combinations are errors that name
// them.
func Load(file string, env, settings []string) (*Config, error) {
	c := Default()
	byKey, byEnv := map[string]Option{}, map[string]Option{}
	for _, o := range c.Options() {
		byKey[o.Key], byEnv[o.Env] = o, o
		c.origin[o.Key] = "default"
	}
	if file != "" {
		if err := c.loadFile(file, byKey); err != nil {
			return nil, err
		}
	}
	sort.Strings(env)
	for _, kv := range env {
		name, value, _ := strings.Cut(kv, "=")
		if !strings.HasPrefix(name, "TEITEN_") || slices.Contains(ownEnvironment, name) {
			continue
		}
		o, ok := byEnv[name]
		if base, isFile := strings.CutSuffix(name, "_FILE"); !ok && isFile {
			if o, ok = byEnv[base]; ok {
				b, err := os.ReadFile(value)
				if err != nil {
					return nil, fmt.Errorf("environment: %s: %w", name, err)
				}
				value = strings.TrimRight(string(b), "\r\n")
			}
		}
		if !ok {
			return nil, fmt.Errorf("environment: no setting is named %s (teiten config lists them)", name)
		}
		if err := o.set(value); err != nil {
			return nil, fmt.Errorf("environment: %s: %w", name, err)
		}
		c.origin[o.Key] = "environment " + name
	}
	for _, kv := range settings {
		key, value, ok := strings.Cut(kv, "=")
		o, known := byKey[key]
		if !ok || !known {
			return nil, SettingError{fmt.Errorf("--set %s: want KEY=VALUE with a key that teiten config lists", kv)}
		}
		if err := o.set(value); err != nil {
			return nil, SettingError{err}
		}
		c.origin[key] = "command line"
	}
	return c, c.check()
}

func (c *Config) loadFile(file string, byKey map[string]Option) error {
	b, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	var tree map[string]map[string]any
	if err := toml.Unmarshal(b, &tree); err != nil {
		return fmt.Errorf("configuration %s: %w", file, err)
	}
	for section, values := range tree {
		for name, value := range values {
			key := section + "." + name
			o, ok := byKey[key]
			if !ok {
				return fmt.Errorf("configuration %s: no setting is named %s (teiten config lists them)", file, key)
			}
			text := fmt.Sprint(value)
			if list, ok := value.([]any); ok {
				parts := make([]string, len(list))
				for i, e := range list {
					parts[i] = fmt.Sprint(e)
				}
				text = strings.Join(parts, ",")
			}
			if err := o.set(text); err != nil {
				return fmt.Errorf("configuration %s: %w", file, err)
			}
			c.origin[key] = "file " + filepath.Base(file)
		}
	}
	return nil
}
