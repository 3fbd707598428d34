package explain

// whyTexts has a text for every Why. The words in braces stand for an answer's.
var whyTexts = [whyCount]text{
	WhyNoAddress:         {"The answer names no address to write to.", "登録情報に送付先となるアドレスがありません。"},
	WhyRedacted:          {"The answer names no address to write to; the registry has left parts out.", "登録情報に送付先となるアドレスがありません。登録機関が一部の項目を非公開としています。"},
	WhyNoRange:           {"The answer gives no range of addresses.", "登録情報にアドレスの範囲がありません。"},
	WhyOtherRange:        {"The answer is about other addresses: {range}.", "登録情報は別のアドレス範囲 ({range}) のものです。"},
	WhyAllRejected:       {"The answer names only addresses that must not be written to.", "登録情報にあるのは、送付してはならないアドレスだけです。"},
	WhyNamed:             {"The registry names {entity} for abuse.", "登録情報で {entity} が abuse 担当とされています。"},
	WhyNamedBeside:       {"The registry names {entity} for abuse, beside {roles}.", "登録情報で {entity} が abuse 担当とされています (ほかの役割: {roles})。"},
	WhyBeginsAbuseNoRole: {"The address begins with abuse@ and stands at {entity}, which has no role.", "abuse@ で始まるアドレスで、{entity} (役割の記載なし) の登録情報にあります。"},
	WhyBeginsAbuse:       {"The address begins with abuse@ and stands at {entity}, which is {roles}.", "abuse@ で始まるアドレスで、{entity} (役割: {roles}) の登録情報にあります。"},
	WhyMarkedAbuseNoRole: {"The address is marked for abuse and stands at {entity}, which has no role.", "abuse 用と示されたアドレスで、{entity} (役割の記載なし) の登録情報にあります。"},
	WhyMarkedAbuse:       {"The address is marked for abuse and stands at {entity}, which is {roles}.", "abuse 用と示されたアドレスで、{entity} (役割: {roles}) の登録情報にあります。"},
	WhyOtherNoRole:       {"The address is not for abuse; it stands at {entity}, which has no role.", "abuse 用のアドレスではありません。{entity} (役割の記載なし) の登録情報にあります。"},
	WhyOther:             {"The address is not for abuse; it stands at {entity}, which is {roles}.", "abuse 用のアドレスではありません。{entity} (役割: {roles}) の登録情報にあります。"},
	WhyWhoisSection:      {"{registry} WHOIS names it under “{label}”.", "{registry} WHOIS の「{label}」に記載されています。"},
	WhyWhoisField:        {"{registry} WHOIS names it under {label}.", "{registry} WHOIS の {label} に記載されています。"},
	WhyWhoisBeginsAbuse:  {"The address begins with abuse@ and stands in {registry} WHOIS.", "abuse@ で始まるアドレスで、{registry} WHOIS に記載されています。"},
	WhyWhoisOther:        {"The address is not for abuse; it stands in {registry} WHOIS under “{label}”.", "abuse 用のアドレスではありません。{registry} WHOIS の「{label}」に記載されています。"},
	WhyRemark:            {"A remark on the network says: “{line}”.", "ネットワークの備考に「{line}」とあります。"},
	WhyRemarkForbids:     {"A remark on the network says not to write there: “{line}”.", "ネットワークの備考に、このアドレスへ送らないよう記載されています:「{line}」"},
	WhyNotMailable:       {"The address cannot be written to: {reason}.", "このアドレスには送付できません: {reason}。"},
	WhyRegistrysOwn:      {"The address is a registry's own, not the owner's of the network.", "登録機関自身のアドレスであり、ネットワークの管理組織のものではありません。"},
	WhyPlaceholder:       {"{entity} stands for a registry, not for the owner of the network.", "{entity} は登録機関を表すもので、ネットワークの管理組織ではありません。"},
	WhyDirectory:         {"entry {entry} of the directory, for {scope} {target}, by {user}", "「連絡先」の項目 {entry} (対象: {scope} {target}、登録: {user})"},
	WhyBounced:           {"{address} bounced", "{address} 宛てのメールが不達となったため"},

	WhyOfSeveralMarked:      {"; of its addresses this one is marked for abuse.", "複数あるアドレスのうち、abuse 用と示されているものです。"},
	WhyOfSeveralPreferred:   {"; of its addresses this one is marked as preferred.", "複数あるアドレスのうち、優先と示されているものです。"},
	WhyOfSeveralBeginsAbuse: {"; of its addresses this one begins with abuse@.", "複数あるアドレスのうち、abuse@ で始まるものです。"},
	WhyOfSeveral:            {"; it is one of several addresses.", "複数あるアドレスのうちの一つです。"},
	WhyInvalid:              {"The registry says that the address is invalid.", "登録機関によると、このアドレスは無効です。"},
	WhyValidatedOn:          {"The registry validated the address on {day}.", "登録機関が {day} にこのアドレスの有効性を確認しています。"},
	WhyValidated:            {"The registry validated the address.", "登録機関がこのアドレスの有効性を確認しています。"},
	WhyNotValidated:         {"The registry could not validate it.", "登録機関はこの連絡先の有効性を確認できていません。"},
	WhyHasValidated:         {"The registry has validated it.", "登録機関がこの連絡先の有効性を確認しています。"},
	WhyWhoisNamesNone:       {"{registry} WHOIS names none for abuse.", "{registry} WHOIS にも abuse 用のアドレスはありません。"},
	WhyWhoisUnknown:         {"{registry} WHOIS knows no network around the address.", "{registry} WHOIS には該当するネットワークの登録がありません。"},
	WhyWhoisSilent:          {"{registry} WHOIS did not answer.", "{registry} WHOIS からの応答がありませんでした。"},
}

// whyWords are the Japanese words for those of ours, and of RFC 9083 (10.2.4),
// that stand for the name in the braces.
var whyWords = map[string]map[string]string{
	"entity": {NamelessEntity: "名称のない連絡先"},
	"reason": {
		MailControl:  "制御文字が含まれています",
		MailTooLong:  "長すぎます",
		MailNone:     "メールアドレスではありません",
		MailMasked:   "伏せ字になっています",
		MailLocal:    "@ の前に、一般のメールサーバーが受け付けない文字があります",
		MailNoName:   "ドメイン名が正しくありません",
		MailNotInDNS: "ドメインが DNS の名前ではありません",
	},
	"roles": {
		"registrant": "登録者", "technical": "技術担当", "administrative": "管理担当", "billing": "請求担当", "noc": "NOC",
		"registrar": "レジストラ", "reseller": "再販事業者", "sponsor": "スポンサー", "proxy": "代理", "notifications": "通知先",
	},
	"scope": {"prefix": "プレフィックス", "organisation": "組織", "as": "AS", "country": "国"},
}
