package config

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// Option is one configuration value.
type Option struct {
	Key    string // "mail.domain"
	Env    string // "TEITEN_MAIL_DOMAIN"
	Help   string
	Secret bool
	value  reflect.Value
}

// Options lists every value in the order of the struct.
func (c *Config) Options() []Option {
	var out []Option
	v := reflect.ValueOf(c).Elem()
	for i := range v.NumField() {
		section := v.Type().Field(i)
		if !section.IsExported() {
			continue
		}
		for j := range section.Type.NumField() {
			f := section.Type.Field(j)
			key := section.Tag.Get("toml") + "." + f.Tag.Get("toml")
			out = append(out, Option{
				Key: key, Env: "TEITEN_" + strings.ToUpper(strings.ReplaceAll(key, ".", "_")),
				Help: f.Tag.Get("help"), Secret: f.Tag.Get("secret") != "", value: v.Field(i).Field(j),
			})
		}
	}
	return out
}

// String returns the value as it is written in the environment.
func (o Option) String() string {
	switch v := o.value.Interface().(type) {
	case []string:
		return strings.Join(v, ",")
	case time.Duration:
		return FormatDuration(v)
	default:
		return fmt.Sprint(v)
	}
}

// FormatDuration writes whole days as days: 400d reads better than 9600h0m0s.
func FormatDuration(d time.Duration) string {
	if d > 0 && d%(24*time.Hour) == 0 {
		return strconv.Itoa(int(d/(24*time.Hour))) + "d"
	}
	return d.String()
}

func parseDuration(s string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		n, err := strconv.Atoi(days)
		if err != nil || n < 0 || n > 100*366 {
			return 0, fmt.Errorf("bad duration %q", s)
		}
		return time.Duration(n) * 24 * time.Hour, nil
	}
	return time.ParseDuration(s)
}

// set parses s into the value.
func (o Option) set(s string) error {
	switch p := o.value.Addr().Interface().(type) {
	case *string:
		*p = s
	case *bool:
		b, err := strconv.ParseBool(s)
		if err != nil {
			return fmt.Errorf("%s: %q is neither true nor false", o.Key, s)
		}
		*p = b
	case *int:
		n, err := strconv.Atoi(s)
		if err != nil {
			return fmt.Errorf("%s: %q is not a number", o.Key, s)
		}
		*p = n
	case *float64:
		f, err := strconv.ParseFloat(s, 64)
		if err != nil {
			return fmt.Errorf("%s: %q is not a number", o.Key, s)
		}
		*p = f
	case *time.Duration:
		d, err := parseDuration(s)
		if err != nil {
			return fmt.Errorf("%s: %q is not a duration such as 90m or 14d", o.Key, s)
		}
		*p = d
	case *[]string:
		*p = nil
		for f := range strings.SplitSeq(s, ",") {
			if f = strings.TrimSpace(f); f != "" {
				*p = append(*p, f)
			}
		}
	default:
		return fmt.Errorf("%s: values of type %T cannot be set", o.Key, p)
	}
	return nil
}
