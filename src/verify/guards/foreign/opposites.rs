//! Opposites, as in the English list: pairs of words that are hardly ever used in other senses.

/// The two sides of each pair, with the word forms of each side.
#[rustfmt::skip]
pub(in crate::verify::guards) const PAIRS: &[(&str, &str)] = &[
    // German
    ("aktivieren aktiviere aktiviert einschalten einschalte", "deaktivieren deaktiviere deaktiviert ausschalten ausschalte abschalten abschalte"),
    ("öffnen öffne öffnet", "schließen schließe schließt"),
    ("erhöhen erhöhe", "senken verringern reduzieren"),
    ("hinzufügen", "entfernen entferne löschen lösche"),
    ("importieren importiere", "exportieren exportiere"),
    ("hochladen", "herunterladen runterladen"),
    ("kaufen kaufe", "verkaufen verkaufe"),
    ("anmelden", "abmelden"),
    ("maximal höchstens", "minimal mindestens"),
    ("vorher", "nachher"),
    // Dutch
    ("inschakelen aanzetten", "uitschakelen uitzetten"),
    ("toevoegen", "verwijderen"),
    ("verhogen", "verlagen"),
    ("aanmelden inloggen", "afmelden uitloggen"),
    ("importeren", "exporteren"),
    ("uploaden", "downloaden"),
    ("kopen", "verkopen"),
    // French
    ("activer", "désactiver"),
    ("ajouter", "supprimer retirer"),
    ("augmenter", "diminuer réduire"),
    ("ouvrir", "fermer clôturer"),
    ("importer", "exporter"),
    ("acheter", "vendre"),
    ("connecter", "déconnecter"),
    ("maximum maximal", "minimum minimal"),
    ("départ", "arrivée"),
    // Spanish and Portuguese
    ("activar ativar", "desactivar desativar"),
    ("añadir agregar adicionar", "eliminar quitar borrar remover excluir"),
    ("aumentar subir", "reducir disminuir bajar reduzir diminuir"),
    ("abrir", "cerrar fechar encerrar"),
    ("importar", "exportar"),
    ("comprar", "vender"),
    ("máximo máxima", "mínimo mínima"),
    ("ida", "vuelta volta"),
    // Italian
    ("attivare", "disattivare"),
    ("aggiungere", "rimuovere eliminare togliere"),
    ("aumentare", "ridurre diminuire"),
    ("aprire", "chiudere"),
    ("importare", "esportare"),
    ("comprare acquistare", "vendere"),
    ("massimo massima", "minimo minima"),
    ("andata", "ritorno"),
    // Polish
    ("włączyć włączam", "wyłączyć wyłączam"),
    ("dodać", "usunąć"),
    ("zwiększyć", "zmniejszyć"),
    ("otworzyć", "zamknąć"),
    ("kupić", "sprzedać"),
    ("zalogować", "wylogować"),
    // Russian
    ("включить включать", "выключить отключить выключать отключать"),
    ("добавить", "удалить убрать"),
    ("увеличить", "уменьшить"),
    ("открыть", "закрыть"),
    ("купить", "продать"),
    ("войти", "выйти"),
    ("импортировать", "экспортировать"),
    ("скачать", "загрузить"),
    // Arabic
    ("تفعيل", "تعطيل إيقاف"),
    ("إضافة", "حذف إزالة"),
    ("فتح", "إغلاق"),
    ("شراء", "بيع"),
    ("زيادة", "تقليل خفض"),
    ("الذهاب", "العودة"),
    // Hindi
    ("चालू", "बंद"),
    ("खोलने खोलना खोलूँ", "बंद"),
    ("बढ़ाने बढ़ाना", "घटाने घटाना"),
    ("खरीदने खरीदना", "बेचने बेचना"),
    ("जोड़ने जोड़ना", "हटाने हटाना"),
];

/// Strings of Chinese and Japanese.
#[rustfmt::skip]
pub(in crate::verify::guards) const WRITTEN_PAIRS: &[(&[&str], &[&str])] = &[
    (&["启用", "开启", "打开", "有効"], &["禁用", "关闭", "停用", "無効"]),
    (&["增加", "提高", "増や", "上げ"], &["减少", "降低", "減ら", "下げ"]),
    (&["上传", "アップロード"], &["下载", "ダウンロード"]),
    (&["导入", "インポート"], &["导出", "エクスポート"]),
    (&["添加", "追加"], &["删除", "移除", "削除"]),
    (&["最大", "最多", "最高"], &["最小", "最少", "最低"]),
    (&["之前"], &["之后"]),
    (&["登录", "ログイン"], &["登出", "退出", "ログアウト"]),
    (&["免费", "無料"], &["收费", "付费", "有料"]),
    (&["买", "購入"], &["卖", "売却"]),
    (&["单程", "片道"], &["往返", "往復"]),
    (&["国内"], &["国外", "国际", "海外", "国際"]),
    (&["男"], &["女"]),
];
